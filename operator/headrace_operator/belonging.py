"""How a Topic or a Quota stands before its Cluster, read from the store."""

from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import Final

from headrace_operator.crd.metadata import ObjectMeta
from headrace_operator.crd.topic import ClusterRef
from headrace_operator.kinds import CLUSTER, Kind, Object
from headrace_operator.plan.standing import Claimant, ClusterState, Standing, holder_of
from headrace_operator.store import Store

EVERY_NAMESPACE: Final = "*"
NOT_READY_SECONDS: Final = 5.0
"""Until the next look at a Cluster that did not answer; its Available condition wakes us too."""


def next_look_seconds(uid: str, look_seconds: float) -> float:
    """When to look again, spread over a quarter of the interval so that not all come at once."""
    return look_seconds * (1 + (sum(uid.encode()) % 64) / 256)


def cluster_key(metadata: ObjectMeta, reference: ClusterRef) -> tuple[str, str]:
    """(namespace, name) of the Cluster that a resource names."""
    return reference.namespace or metadata.namespace, reference.name


def standing_of(
    store: Store,
    kind: Kind,
    metadata: ObjectMeta,
    cluster: tuple[str, str],
    claim: Hashable,
) -> Standing:
    """`claim` is the store's index entry that the resource shares with its rivals."""
    namespace, name = cluster
    found = store.get(CLUSTER, namespace, name)
    state = ClusterState.ABSENT
    if found is not None:
        gone = found["metadata"].get("deletionTimestamp") is not None
        state = ClusterState.TERMINATING if gone else ClusterState.PRESENT
    me = _claimant(metadata.creation_timestamp, metadata.uid, metadata.namespace, metadata.name)
    rivals = [_claimant_of(rival) for rival in store.owned(kind, claim)]
    admitted = [
        one for one in rivals if found is not None and _admits(found, namespace, one.namespace)
    ]
    return Standing(
        cluster=state,
        cluster_name=f"{namespace}/{name}",
        permitted=found is not None and _admits(found, namespace, metadata.namespace),
        me=me,
        holder=holder_of([me, *admitted]),
    )


def suspended(store: Store, cluster: tuple[str, str]) -> bool:
    """Whether the Cluster says that nothing of it may be changed."""
    found = store.get(CLUSTER, *cluster)
    return found is not None and bool(found["spec"].get("suspend"))


def _admits(cluster: Object, own: str, namespace: str) -> bool:
    access: Iterable[str] = (cluster["spec"].get("access") or {}).get("namespaces") or ()
    return namespace == own or any(one in (EVERY_NAMESPACE, namespace) for one in access)


def _claimant_of(obj: Object) -> Claimant:
    metadata = obj["metadata"]
    return Claimant(
        created=metadata.get("creationTimestamp", ""),
        uid=metadata.get("uid", ""),
        namespace=metadata["namespace"],
        name=metadata["name"],
    )


def _claimant(created: datetime | None, uid: str, namespace: str, name: str) -> Claimant:
    text = created.strftime("%Y-%m-%dT%H:%M:%SZ") if created is not None else ""
    return Claimant(created=text, uid=uid, namespace=namespace, name=name)
