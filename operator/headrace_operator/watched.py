"""What the operator watches, how its copies are found again, and whom a change wakes. Pure.

Owned objects are watched by label, so a cluster's other Secrets and Pods never cross the wire;
the label only says what to look at, never what something is (that is its owner's UID).
"""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from headrace_operator.kinds import (
    CLUSTER,
    CONFIG_MAP,
    CRD,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    QUOTA,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    TOPIC,
    Key,
    Kind,
    Object,
    key_of,
)
from headrace_operator.settings import Settings
from headrace_operator.store import Change, Owners, Store

CLUSTER_LABEL: Final = "headrace.io/cluster"
MANAGED: Final = "app.kubernetes.io/managed-by=headrace-operator"

OURS: Final = (CLUSTER, TOPIC, QUOTA)
"""The kinds that are reconciled."""

OWNED: Final = (POD, STATEFUL_SET, PERSISTENT_VOLUME_CLAIM, SERVICE, CONFIG_MAP, SECRET)
"""The kinds whose objects belong to a Cluster."""

DEFINITIONS: Final = tuple(Key(CRD, "", f"{kind.plural}.{kind.group}") for kind in OURS)
"""Each says which Clusters are protected: see reconcile_definition."""

Waker = Callable[[Store, Change], Iterable[Key]]
"""Which keys a change makes worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One kind: `labels` is the selector, `owners` what else its objects are found by."""

    kind: Kind
    labels: str
    owners: Owners


def watched(settings: Settings) -> list[Watched]:
    """Everything that is watched and swept."""
    kinds = [
        Watched(kind=CLUSTER, labels="", owners=_nobody),
        Watched(kind=TOPIC, labels="", owners=topic_owners),
        Watched(kind=QUOTA, labels="", owners=quota_owners),
        *(Watched(kind=kind, labels=MANAGED, owners=part_owners) for kind in OWNED),
    ]
    if settings.watch_nodes:
        kinds.append(Watched(kind=NODE, labels="", owners=_nobody))
    return kinds


def cluster_of(obj: Object) -> tuple[str, str]:
    """(namespace, name) of the Cluster that a Topic or a Quota names."""
    reference = obj["spec"]["clusterRef"]
    return reference.get("namespace") or obj["metadata"]["namespace"], reference["name"]


def topic_owners(obj: Object) -> Iterator[Hashable]:
    """A Topic is found by its Cluster, and by (*Cluster, topic's name) as its rivals are."""
    cluster = cluster_of(obj)
    yield cluster
    yield (*cluster, obj["spec"].get("topicName") or obj["metadata"]["name"])


def quota_owners(obj: Object) -> Iterator[Hashable]:
    """A Quota is found by its Cluster, and by (*Cluster, entity as sorted JSON)."""
    cluster = cluster_of(obj)
    yield cluster
    yield (*cluster, json.dumps(obj["spec"]["entity"], sort_keys=True))


def part_owners(obj: Object) -> Iterator[Hashable]:
    """What belongs to a Cluster is found by the UIDs of its owners, and by the (namespace, name)
    in its label: a volume that outlives its Cluster has no owner."""
    metadata = obj["metadata"]
    for reference in metadata.get("ownerReferences") or []:
        yield reference["uid"]
    cluster = (metadata.get("labels") or {}).get(CLUSTER_LABEL)
    if cluster:
        yield metadata["namespace"], cluster


def _nobody(obj: Object) -> Iterable[Hashable]:
    return ()


def wakes(store: Store, change: Change) -> Iterator[Key]:
    """The keys that a change makes worth a look."""
    kind = change.key.kind
    if kind in OURS:
        yield change.key
        if kind is CLUSTER:
            if _bearing(change.old) != _bearing(change.new):
                yield from _members(store, change.key)
        else:
            yield from _rivals(store, change)
    elif kind is NODE:
        if _node_state(change.old) != _node_state(change.new):
            yield from _on_node(store, change.key.name)
    else:
        for obj in (change.old, change.new):
            cluster = ((obj or {}).get("metadata", {}).get("labels") or {}).get(CLUSTER_LABEL)
            if cluster:
                yield Key(CLUSTER, change.key.namespace, cluster)


def guarded(settings: Settings) -> tuple[Key, ...]:
    """The definitions this operator keeps a list on: only who sees every Cluster can."""
    return DEFINITIONS if settings.all_namespaces else ()


def guards(change: Change) -> bool:
    """Whether a change makes the list of protected Clusters another one."""
    if change.key.kind is not CLUSTER:
        return False
    return is_protected(change.old) != is_protected(change.new)


def is_protected(cluster: Object | None) -> bool:
    """Whether a Cluster says that it may not be deleted."""
    return cluster is not None and bool(cluster["spec"].get("deletionProtection"))


def lane_of(store: Store, key: Key) -> Hashable:
    """Whose turn a key takes: a Cluster has one of its own, its Topics and Quotas share one."""
    if key.kind in (CLUSTER, CRD):
        return key
    obj = store.at(key)
    return cluster_of(obj) if obj is not None else key.namespace


def _bearing(cluster: Object | None) -> object:
    """What of a Cluster matters to its Topics and Quotas; its status changes far more often."""
    if cluster is None:
        return None
    metadata, status = cluster["metadata"], cluster.get("status") or {}
    conditions = {
        condition["type"]: condition["status"] for condition in status.get("conditions") or []
    }
    return (
        metadata.get("uid"),
        metadata.get("deletionTimestamp"),
        json.dumps(cluster["spec"].get("access"), sort_keys=True),
        cluster["spec"].get("suspend"),
        conditions.get("Available"),
    )


def _members(store: Store, cluster: Key) -> Iterator[Key]:
    for kind in (TOPIC, QUOTA):
        for obj in store.owned(kind, (cluster.namespace, cluster.name)):
            yield key_of(kind, obj)


def _rivals(store: Store, change: Change) -> Iterator[Key]:
    """Others that claim the same: one may take over, or has to stand back."""
    kind = change.key.kind
    owners = topic_owners if kind is TOPIC else quota_owners
    before = set(owners(change.old)) if change.old is not None else set()
    after = set(owners(change.new)) if change.new is not None else set()
    for claim in before ^ after:
        if isinstance(claim, tuple) and len(claim) == 3:
            for obj in store.owned(kind, claim):
                if (key := key_of(kind, obj)) != change.key:
                    yield key


def _node_state(node: Object | None) -> object:
    """What of a Node matters to the pods on it; heartbeats do not."""
    if node is None:
        return None
    spec, status = node.get("spec") or {}, node.get("status") or {}
    ready = [c["status"] for c in status.get("conditions") or [] if c["type"] == "Ready"]
    return (
        spec.get("unschedulable"),
        json.dumps(spec.get("taints") or []),
        ready,
        json.dumps(node["metadata"].get("labels") or {}, sort_keys=True),
    )


def _on_node(store: Store, node: str) -> Iterator[Key]:
    clusters: dict[Key, None] = {}
    for pod in store.all(POD):
        cluster = (pod["metadata"].get("labels") or {}).get(CLUSTER_LABEL)
        if cluster and (pod.get("spec") or {}).get("nodeName") == node:
            clusters[Key(CLUSTER, pod["metadata"]["namespace"], cluster)] = None
    yield from clusters
