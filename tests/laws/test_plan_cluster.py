"""Laws of the Cluster's plan, over worlds that controllers, failures and people have shaped."""

import string
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace_operator.build import names
from headrace_operator.build.cluster import Rendering, render_cluster
from headrace_operator.build.facts import Broker, Facts
from headrace_operator.build.object import annotation
from headrace_operator.crd.cluster_rules import (
    CLUSTER_AND_POOL_CHARACTERS_MAX,
    CLUSTER_CHARACTERS_MAX,
)
from headrace_operator.crd.fields import BROKER_ID_MAX
from headrace_operator.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
    STATEFUL_SET,
)
from headrace_operator.plan.cluster import plan_cluster
from headrace_operator.plan.cluster_actions import Drop, ReplaceMember, Restart, is_destructive
from headrace_operator.plan.observed_cluster import Blame, Failure, ObservedCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import cluster_world as world

LISTENERS = [
    [{"name": "internal", "type": "Internal", "port": 9092}],
    [
        {"name": "internal", "type": "Internal", "port": 9092},
        {"name": "out", "type": "NodePort", "port": 9094},
    ],
    [
        {"name": "internal", "type": "Internal", "port": 9092},
        {"name": "lb", "type": "LoadBalancer", "port": 9095, "hostTemplate": "b{id}.example.org"},
    ],
]
BRIEF = settings(max_examples=40, deadline=None)

POOLS = st.lists(
    st.builds(
        lambda name, replicas, zones, size: world.pool(
            name, replicas, zones=zones, storage={"size": size}
        ),
        name=st.sampled_from(["a", "b"]),
        replicas=st.integers(0, 3),
        zones=st.sampled_from([[], ["z1"], ["z1", "z2", "z3"]]),
        size=st.sampled_from(["1Gi", "1024Mi", "10Gi", "20Gi"]),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda pool: pool["name"],
)
SPECS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "pools": POOLS,
        "listeners": st.sampled_from(LISTENERS),
        "config": st.dictionaries(
            st.sampled_from(["num.partitions", "log.retention.ms", "segment.bytes"]),
            st.sampled_from(["2", "20000", "many"]),
            max_size=2,
        ),
        "version": st.sampled_from(["0.1.0", "0.2.0"]),
        "reclaimPolicy": st.sampled_from(["Retain", "Delete"]),
        "suspend": st.sampled_from([False, False, False, True]),
        "monitoring": st.just({"podMonitor": True}),
    }
)


class Lived:
    """A world that prints as what happened in it, not as what came of that."""

    def __init__(self, now: ObservedCluster, story: tuple[str, ...]) -> None:
        self.now = now
        self.story = story

    def __repr__(self) -> str:
        return "\n".join(self.story)


@st.composite
def worlds(draw: st.DrawFn) -> Lived:
    """A world after a few specs, passes, starts and accidents."""
    spec = draw(SPECS)
    story = [f"spec {spec}"]
    observed = world.fresh(world.cluster(**spec))
    if draw(st.booleans()):
        story.append("two passes, and all start after each")
        for _ in range(2):
            observed = world.started(world.applied(observed, plan_cluster(observed).actions))
    for step in draw(st.lists(st.integers(0, 8), max_size=10)):
        match step:
            case 0:
                spec = draw(SPECS)
                story.append(f"spec {spec}")
                observed = world.respecified(observed, world.cluster(**spec))
            case 1 | 2:
                story.append("a pass")
                observed = world.applied(observed, plan_cluster(observed).actions)
            case 3:
                story.append("all start")
                observed = world.started(observed)
            case 4 | 5:
                observed, what = _accident(draw, observed)
                story.append(what)
            case 7 | 8:
                spec = {**spec, "config": {"num.partitions": str(draw(st.integers(2, 9)))}}
                story.append(f"config {spec['config']}")
                observed = world.respecified(observed, world.cluster(**spec))
            case 6:
                served = draw(st.booleans())
                story.append(f"Prometheus {served}")
                around = replace(observed.surroundings, prometheus=served)
                observed = replace(observed, surroundings=around)
    return Lived(observed, tuple(story))


def _accident(draw: st.DrawFn, observed: ObservedCluster) -> tuple[ObservedCluster, str]:
    kind = draw(st.sampled_from(["pod", "failure", "object", "silent", "secret", "etcd"]))
    if kind == "pod" and observed.pods:
        gone = draw(st.sampled_from(sorted(observed.pods)))
        left = {k: v for k, v in observed.pods.items() if k != gone}
        index = names.member_of(observed.cluster.metadata.name, gone)
        members = {k: v for k, v in observed.members.items() if k != index}
        return replace(observed, pods=left, members=members), f"pod of {gone} gone"
    if kind == "failure" and observed.pods:
        name = draw(st.sampled_from(sorted(observed.pods)))
        blame = draw(st.sampled_from(list(Blame)))
        failure = Failure(blame=blame, reason="Broken", message="It is broken.")
        pod = replace(observed.pods[name], ready=False, failure=failure)
        return replace(observed, pods={**observed.pods, name: pod}), f"{name} fails: {blame}"
    if kind == "object" and observed.objects:
        keys = sorted(observed.objects, key=str)
        gone_key = draw(st.sampled_from(keys))
        return world.without(observed, gone_key.kind, gone_key.name), f"{gone_key} gone"
    if kind == "silent" and observed.reports:
        silent = draw(st.sampled_from(sorted(observed.reports)))
        heard = {k: v for k, v in observed.reports.items() if k != silent}
        return replace(observed, reports=heard), f"broker {silent} silent"
    if kind == "etcd" and observed.members:
        index = draw(st.sampled_from(sorted(observed.members)))
        return world.lose_member(observed, index), f"etcd member {index} and its volume gone"
    return replace(observed, certificates={}), "certificates gone"


@given(worlds())
@BRIEF
def test_a_plan_has_at_most_one_destructive_action(lived: Lived) -> None:
    actions = plan_cluster(lived.now).actions
    assert sum(is_destructive(action) for action in actions) <= 1


@given(worlds())
@BRIEF
def test_the_same_observation_gives_the_same_plan(lived: Lived) -> None:
    assert plan_cluster(lived.now) == plan_cluster(lived.now)


@given(worlds())
@BRIEF
def test_after_its_actions_are_done_a_plan_is_empty(lived: Lived) -> None:
    """Where a Service's port is advertised, the API server first has to choose it; where an etcd
    member is replaced, etcd first has to count the new one."""
    observed = lived.now
    replaces = any(isinstance(action, ReplaceMember) for action in plan_cluster(observed).actions)
    for _ in range(1 + plan_cluster_waits_for_ports(observed) + replaces):
        observed = world.applied(observed, plan_cluster(observed).actions)
    assert plan_cluster(observed).actions == ()


def plan_cluster_waits_for_ports(observed: ObservedCluster) -> bool:
    return any(item.type == "NodePort" for item in observed.cluster.spec.listeners)


@given(worlds())
@BRIEF
def test_nothing_that_holds_data_is_ever_taken_away(lived: Lived) -> None:
    observed = lived.now
    mounted = {
        volume["configMap"]["name"]
        for obj in observed.all_of(STATEFUL_SET)
        for volume in obj["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    }
    for action in plan_cluster(observed).actions:
        if isinstance(action, Drop):
            assert action.key.name not in mounted
            assert action.key.kind not in (PERSISTENT_VOLUME_CLAIM, STATEFUL_SET)
            name, cluster = action.key.name, observed.cluster.metadata.name
            assert "secret" not in action.key.kind.plural
            assert name.startswith(f"{cluster}-") or name == cluster


@given(worlds())
@settings(BRIEF, max_examples=150)
def test_a_restart_takes_no_second_broker_away(lived: Lived) -> None:
    """While another pod does not run what its StatefulSet says, only one that serves nothing goes.

    The one that is on its way itself may be given newer settings: it is the same broker.
    """
    observed = lived.now
    for action in plan_cluster(observed).actions:
        if not isinstance(action, Restart):
            continue
        name = action.object["metadata"]["name"]
        pod, live = observed.pods.get(name), world.get(observed, STATEFUL_SET, name)
        if pod is not None and pod.ready and pod.pod_hash == annotation(live, names.POD_HASH):
            component = action.object["metadata"]["labels"][names.COMPONENT_LABEL]
            for obj in observed.all_of(STATEFUL_SET):
                same = obj["metadata"]["labels"][names.COMPONENT_LABEL] == component
                other_name = obj["metadata"]["name"]
                other = observed.pods.get(other_name)
                if same and other_name != name and _in_spec(observed, other_name):
                    assert other is not None and other.ready
                    assert other.pod_hash == annotation(obj, names.POD_HASH)


def _in_spec(observed: ObservedCluster, set_name: str) -> bool:
    found = names.broker_of_set(observed.cluster.metadata.name, set_name)
    return found is None or found[0] in {pool.name for pool in observed.cluster.spec.pools}


@given(worlds(), SPECS)
@BRIEF
def test_brokers_keep_their_id_pool_and_zone(lived: Lived, spec: Mapping[str, Any]) -> None:
    observed = lived.now
    before = plan_cluster(observed).membership
    observed = world.applied(observed, plan_cluster(observed).actions)
    after = plan_cluster(world.respecified(observed, world.cluster(**spec))).membership
    assert before is not None and after is not None
    kept = {broker.id: broker for broker in after.brokers}
    for broker in before.brokers:
        there = observed.find(PERSISTENT_VOLUME_CLAIM, names.broker_volume("prod", broker.id))
        if there is not None and broker.id in kept:
            assert kept[broker.id].pool.name == broker.pool.name
            assert kept[broker.id].zone == broker.zone


@given(
    cluster=st.text(string.ascii_lowercase, min_size=1, max_size=CLUSTER_CHARACTERS_MAX),
    pool=st.text(string.ascii_lowercase, min_size=1, max_size=30),
    listener=st.text(string.ascii_lowercase, min_size=1, max_size=15),
    number=st.integers(0, BROKER_ID_MAX),
)
def test_names_of_what_makes_pods_stay_within_52_characters(
    cluster: str, pool: str, listener: str, number: int
) -> None:
    pool = pool[: max(1, CLUSTER_AND_POOL_CHARACTERS_MAX - len(cluster))]
    wanted = world.cluster(
        world.pool(pool),
        meta={"name": cluster},
        listeners=[
            {"name": "internal", "type": "Internal", "port": 9092},
            {"name": listener, "type": "NodePort", "port": 9094},
        ],
    )
    facts = Facts(
        broker_image="b",
        etcd_image="e",
        operator_namespace="o",
        brokers=(Broker(pool=wanted.spec.pools[0], id=number),),
        node_ports={names.listener_service(cluster, listener, number): 30_000},
    )
    rendering = render_cluster(wanted, facts)
    assert isinstance(rendering, Rendering)
    for obj in rendering.objects():
        most = {CONFIG_MAP.name: 253, SERVICE.name: 63}.get(obj["kind"], 52)
        assert len(obj["metadata"]["name"]) <= most, obj["metadata"]["name"]
