"""Whom a change wakes, and in whose turn."""

from typing import Any

from headrace_operator.kinds import CLUSTER, NODE, POD, QUOTA, TOPIC, Key, Kind, Object
from headrace_operator.settings import Settings
from headrace_operator.store import Store
from headrace_operator.watched import CLUSTER_LABEL, lane_of, wakes, watched

versions = iter(range(1, 1_000_000))


def store() -> Store:
    return Store({each.kind: each.owners for each in watched(Settings())})


def made(kind: Kind, name: str, namespace: str = "ns", **more: Any) -> Object:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"{kind.name}-{namespace}-{name}",
        "resourceVersion": str(next(versions)),
        **more.pop("metadata", {}),
    }
    return {"metadata": metadata, "spec": more.pop("spec", {}), **more}


def topic(name: str, cluster: str = "c", **spec: Any) -> Object:
    return made(TOPIC, name, spec={"clusterRef": {"name": cluster}, **spec})


def put(kept: Store, kind: Kind, obj: Object) -> set[str]:
    change = kept.put(kind, obj)
    return {str(key) for key in wakes(kept, change)} if change else set()


def drop(kept: Store, kind: Kind, obj: Object) -> set[str]:
    obj["metadata"]["resourceVersion"] = str(next(versions))
    change = kept.drop(kind, obj)
    return {str(key) for key in wakes(kept, change)} if change else set()


def test_a_cluster_wakes_its_topics_only_when_it_bears_on_them() -> None:
    kept = store()
    put(kept, TOPIC, topic("a"))
    put(kept, TOPIC, topic("b", cluster="other"))
    put(kept, QUOTA, made(QUOTA, "q", spec={"clusterRef": {"name": "c"}, "entity": {}}))
    members = {"Topic ns/a", "Quota ns/q"}
    assert put(kept, CLUSTER, made(CLUSTER, "c")) == {"Cluster ns/c", *members}
    counted = made(CLUSTER, "c", status={"readyBrokers": 2})
    assert put(kept, CLUSTER, counted) == {"Cluster ns/c"}
    serving = {"conditions": [{"type": "Available", "status": "True"}]}
    available = made(CLUSTER, "c", status=serving)
    assert put(kept, CLUSTER, available) == {"Cluster ns/c", *members}
    opened = made(CLUSTER, "c", status=serving, spec={"access": {"namespaces": ["x"]}})
    assert put(kept, CLUSTER, opened) == {"Cluster ns/c", *members}
    assert drop(kept, CLUSTER, opened) == {"Cluster ns/c", *members}


def test_a_topic_that_goes_wakes_who_waits_for_its_name() -> None:
    kept = store()
    first, second = topic("a", topicName="orders"), topic("b", topicName="orders")
    put(kept, TOPIC, first)
    assert put(kept, TOPIC, second) == {"Topic ns/b", "Topic ns/a"}
    put(kept, TOPIC, topic("c", topicName="others"))
    assert drop(kept, TOPIC, first) == {"Topic ns/a", "Topic ns/b"}


def test_quotas_with_one_entity_are_rivals() -> None:
    kept = store()
    entity = {"clientId": {"name": "x"}}
    spec = {"clusterRef": {"name": "c"}, "entity": entity}
    put(kept, QUOTA, made(QUOTA, "a", spec=spec))
    assert put(kept, QUOTA, made(QUOTA, "b", spec=spec)) == {"Quota ns/a", "Quota ns/b"}


def test_a_part_wakes_its_cluster_even_as_it_loses_its_label() -> None:
    kept = store()
    pod = made(POD, "c-p-0-0", metadata={"labels": {CLUSTER_LABEL: "c"}})
    assert put(kept, POD, pod) == {"Cluster ns/c"}
    assert put(kept, POD, made(POD, "c-p-0-0")) == {"Cluster ns/c"}


def test_a_node_wakes_the_clusters_on_it_when_its_state_changes() -> None:
    kept = store()
    labels = {CLUSTER_LABEL: "c"}
    put(kept, POD, made(POD, "p", metadata={"labels": labels}, spec={"nodeName": "n1"}))
    node = made(NODE, "n1", namespace="")
    put(kept, NODE, node)
    beat = made(NODE, "n1", namespace="", status={"images": ["x"]})
    assert put(kept, NODE, beat) == set()
    cordoned = made(NODE, "n1", namespace="", spec={"unschedulable": True})
    assert put(kept, NODE, cordoned) == {"Cluster ns/c"}
    other = made(NODE, "n2", namespace="", spec={"unschedulable": True})
    assert put(kept, NODE, other) == set()


def test_parts_are_found_by_owner_and_by_cluster() -> None:
    kept = store()
    metadata = {"ownerReferences": [{"uid": "u1"}], "labels": {CLUSTER_LABEL: "c"}}
    put(kept, POD, made(POD, "p", metadata=metadata))
    assert kept.owned(POD, "u1") == kept.owned(POD, ("ns", "c")) == kept.all(POD)


def test_topics_of_one_cluster_share_a_lane_and_the_cluster_has_its_own() -> None:
    kept = store()
    put(kept, TOPIC, topic("a"))
    elsewhere = topic("b")
    elsewhere["spec"]["clusterRef"]["namespace"] = "far"
    put(kept, TOPIC, elsewhere)
    cluster = Key(CLUSTER, "ns", "c")
    assert lane_of(kept, Key(TOPIC, "ns", "a")) == ("ns", "c")
    assert lane_of(kept, Key(TOPIC, "ns", "b")) == ("far", "c")
    assert lane_of(kept, cluster) == cluster


def test_nodes_are_watched_only_where_they_may_be() -> None:
    kinds = [each.kind for each in watched(Settings(watch_nodes=False))]
    assert NODE not in kinds
    assert NODE in [each.kind for each in watched(Settings())]
