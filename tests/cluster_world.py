"""A Cluster's surroundings in memory, for tests of its plan: what the API server answers at once,
and, when asked for, what controllers, kubelets and brokers make of it.

Server-side apply is simulated as replacing what was applied, with the defaults an API server fills
in; tests/integration/test_cluster_objects.py shows a real one's answers to be covered the same way.
"""

import itertools
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from headrace_operator.build import names
from headrace_operator.build.etcd import peer_url, server_names
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
    STATEFUL_SET,
    Key,
    Kind,
    Object,
    key_of,
    kind_of,
)
from headrace_operator.plan.certificates import LIFE
from headrace_operator.plan.cluster import ClusterPlan, plan_cluster
from headrace_operator.plan.cluster_actions import (
    AlterBrokerAddresses,
    AlterBrokerDefaults,
    Apply,
    ClusterAction,
    Defragment,
    DisarmAlarm,
    Drop,
    IssueCertificates,
    ReplaceMember,
    Restart,
)
from headrace_operator.plan.observed_cluster import (
    Certificate,
    ListedMember,
    MemberHealth,
    ObservedCluster,
    Pod,
    Report,
    Surroundings,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SURROUNDINGS = Surroundings(
    broker_image="headrace/broker:0.1.0",
    etcd_image="headrace/etcd:3.6.16",
    operator_namespace="headrace-system",
)
_numbers = itertools.count(1)


def pool(name: str = "a", replicas: int = 3, **more: Any) -> Object:
    """A pool as it stands in a spec."""
    return {"name": name, "replicas": replicas, "storage": {"size": "10Gi"}, **more}


def cluster(*pools: Object, meta: Mapping[str, Any] | None = None, **spec: Any) -> Cluster:
    """A Cluster; one pool of three brokers unless pools are given."""
    metadata = {"name": "prod", "namespace": "kafka", "uid": "u-1", "generation": 1}
    body = {"version": "0.1.0", "pools": list(pools) or [pool()], **spec}
    return Cluster.model_validate({"metadata": {**metadata, **(meta or {})}, "spec": body})


def fresh(wanted: Cluster, **more: Any) -> ObservedCluster:
    """A Cluster that was just created: there is nothing yet."""
    return ObservedCluster(cluster=wanted, now=NOW, surroundings=SURROUNDINGS, **more)


def respecified(observed: ObservedCluster, wanted: Cluster) -> ObservedCluster:
    """The same world under another spec."""
    return replace(observed, cluster=wanted)


def applied(observed: ObservedCluster, actions: Iterable[ClusterAction]) -> ObservedCluster:
    """The world after the actions were done and nothing else has happened."""
    for action in actions:
        match action:
            case Apply() | Restart():
                objects = _with(observed.objects, action.object)
                observed = replace(observed, objects=objects)
            case Drop():
                kept = {key: obj for key, obj in observed.objects.items() if key != action.key}
                observed = replace(observed, objects=kept)
            case IssueCertificates():
                observed = _issued(observed, action)
            case ReplaceMember():
                observed = _replaced(observed, action)
            case Defragment():
                size = observed.etcd_sizes[action.index]
                given_back = replace(size, total_bytes=size.in_use_bytes)
                sizes = {**observed.etcd_sizes, action.index: given_back}
                observed = replace(observed, etcd_sizes=sizes)
            case DisarmAlarm():
                well = dict.fromkeys(observed.members, MemberHealth(healthy=True))
                observed = replace(observed, members=well)
            case AlterBrokerAddresses():
                own = {**observed.own_addresses, action.broker: action.value}
                observed = replace(observed, own_addresses=own)
            case AlterBrokerDefaults():
                left = observed.defaults or {}
                left = {k: v for k, v in left.items() if k not in action.reset}
                observed = replace(observed, defaults={**left, **action.set_to})
    return observed


def started(observed: ObservedCluster, only: Iterable[str] | None = None) -> ObservedCluster:
    """The world once every StatefulSet (or those named) has its pod and it runs."""
    pods, reports, members = dict(observed.pods), dict(observed.reports), dict(observed.members)
    name = observed.cluster.metadata.name
    for obj in observed.all_of(STATEFUL_SET):
        set_name = obj["metadata"]["name"]
        if only is not None and set_name not in only:
            continue
        if set_name not in pods and not _can_mount(observed, obj):
            continue
        pod_hash = obj["metadata"]["annotations"][names.POD_HASH]
        old = pods.get(set_name)
        pods[set_name] = Pod(name=names.pod(set_name), pod_hash=pod_hash, ready=True)
        broker, member = names.broker_of_set(name, set_name), names.member_of(name, set_name)
        if broker is not None:
            before = reports.get(broker[1])
            epoch = before.epoch if before is not None else next(_numbers)
            if old is None or old.pod_hash != pod_hash:
                epoch = next(_numbers) + 1000
            reports[broker[1]] = report(broker[1], epoch, pod_hash)
        elif member is not None:
            members[member] = MemberHealth(healthy=True)
    listed = observed.etcd_listed or ()
    if members and not listed:
        listed = tuple(
            ListedMember(id=n, name=f"m{n}", peer_urls=(peer_url(observed.cluster, n),))
            for n in sorted(members)
        )
    listed = tuple(replace(one, name=one.name or _started_name(observed, one)) for one in listed)
    objects = {key: _bound(key, obj) for key, obj in observed.objects.items()}
    defaults = observed.defaults if observed.defaults is not None else {}
    return replace(
        observed,
        pods=pods,
        reports=reports,
        members=members,
        etcd_listed=listed,
        objects=objects,
        defaults=defaults,
    )


def lose_member(observed: ObservedCluster, index: int) -> ObservedCluster:
    """The world after a member's volume went with its node, and its pod cannot start again."""
    name = names.etcd_member(observed.cluster.metadata.name, index)
    observed = without(observed, PERSISTENT_VOLUME_CLAIM, name)
    return replace(
        observed,
        pods={key: pod for key, pod in observed.pods.items() if key != name},
        members={key: one for key, one in observed.members.items() if key != index},
    )


def _can_mount(observed: ObservedCluster, stateful_set: Object) -> bool:
    """A pod starts only where its volumes are."""
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in stateful_set["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    return all(observed.find(PERSISTENT_VOLUME_CLAIM, claim) is not None for claim in claims)


def _started_name(observed: ObservedCluster, one: ListedMember) -> str:
    """The name of a new member whose volume is there by now; none yet where it is not."""
    name = observed.cluster.metadata.name
    for index in range(3):
        member = names.etcd_member(name, index)
        if peer_url(observed.cluster, index) in one.peer_urls:
            return member if observed.find(PERSISTENT_VOLUME_CLAIM, member) is not None else ""
    return ""


def report(broker_id: int, epoch: int, config_hash: str) -> Report:
    """What a broker says that serves."""
    return Report(broker_id=broker_id, epoch=epoch, config_hash=config_hash, ready=True)


def settle(observed: ObservedCluster, passes: int = 60) -> tuple[ObservedCluster, ClusterPlan]:
    """Pass after pass, the world following each, until there is nothing left to do."""
    for _ in range(passes):
        plan = plan_cluster(observed)
        before = observed
        observed = started(applied(observed, plan.actions))
        if not plan.actions and observed == before:
            return observed, plan
    raise AssertionError(f"still busy after {passes} passes: {plan}")


def get(observed: ObservedCluster, kind: Kind, name: str) -> Object:
    """The object of that name, which must be there."""
    found = observed.find(kind, name)
    assert found is not None, f"{kind.name} {name} is not there"
    return found


def without(observed: ObservedCluster, kind: Kind, name: str) -> ObservedCluster:
    """The world without that object."""
    gone = Key(kind, observed.cluster.metadata.namespace, name)
    return replace(observed, objects={k: v for k, v in observed.objects.items() if k != gone})


def put(observed: ObservedCluster, obj: Object) -> ObservedCluster:
    """The world with that object as it is given."""
    objects = {**observed.objects, key_of(kind_of(obj), obj): obj}
    return replace(observed, objects=objects)


def _replaced(observed: ObservedCluster, action: ReplaceMember) -> ObservedCluster:
    """As etcd does it: an id is never used again, and a new member has no name yet."""
    assert observed.etcd_listed is not None
    kept = tuple(one for one in observed.etcd_listed if one.id != action.former)
    assert len(kept) < 3, "a member was counted beside the one that it replaces"
    new = ListedMember(id=next(_numbers) + 10_000, name="", peer_urls=(action.peer_url,))
    return replace(observed, etcd_listed=(*kept, new))


def _with(objects: Mapping[Key, Object], wanted: Object) -> dict[Key, Object]:
    kind = kind_of(wanted)
    key = key_of(kind, wanted)
    old = objects.get(key)
    obj = deepcopy(wanted)
    number = str(next(_numbers))
    obj["metadata"]["uid"] = old["metadata"]["uid"] if old is not None else f"uid-{number}"
    obj["metadata"]["resourceVersion"] = number
    if old is not None and "status" in old:
        obj["status"] = old["status"]
    if kind is SERVICE and obj["spec"]["type"] != "ClusterIP":
        ports = [] if old is None else old["spec"]["ports"]
        for i, port in enumerate(obj["spec"]["ports"]):
            former = ports[i].get("nodePort") if i < len(ports) else None
            port.setdefault("nodePort", former or 30_000 + int(number) % 2_000)
    return {**objects, key: obj}


def _bound(key: Key, obj: Object) -> Object:
    if key.kind is not PERSISTENT_VOLUME_CLAIM:
        return obj
    capacity = {"storage": obj["spec"]["resources"]["requests"]["storage"]}
    return {**obj, "status": {"phase": "Bound", "capacity": capacity}}


def _issued(observed: ObservedCluster, action: IssueCertificates) -> ObservedCluster:
    etcd = observed.cluster.spec.etcd.managed
    assert etcd is not None
    key = observed.ca_key or "key-1"
    found = dict(observed.certificates)
    name = observed.cluster.metadata.name
    hosts = frozenset(server_names(observed.cluster, etcd))
    for secret in (*action.names, *([names.etcd_ca(name)] if action.new_ca else [])):
        found[secret] = Certificate(
            not_before=observed.now, not_after=observed.now + LIFE, hosts=hosts, issuer=key
        )
    return replace(observed, certificates=found, ca_key=key)
