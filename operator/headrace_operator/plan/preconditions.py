"""What must hold before anything is changed for a Cluster: else one sentence alone. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.object import annotation, owner_uid
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.pools import Storage
from headrace_operator.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    Key,
    Kind,
    Object,
)
from headrace_operator.plan.membership import Membership
from headrace_operator.plan.observed_cluster import ObservedCluster
from headrace_operator.plan.verdict import Verdict, reconciling, stalled

_OUTLIVE: Final = (PERSISTENT_VOLUME_CLAIM, SECRET)
"""Kinds whose objects may outlive their Cluster and belong to its next one of the same name."""


def refuse(observed: ObservedCluster, membership: Membership) -> Verdict | None:
    """The first thing that stands in the way of everything."""
    for verdict in (
        _unmarked(membership),
        _etcd_exchanged(observed),
        _secret_absent(observed),
    ):
        if verdict is not None:
            return verdict
    return None


def refuse_names(observed: ObservedCluster, wanted: Iterable[Key]) -> Verdict | None:
    """Where a name that the Cluster needs is taken by an object that is not its own."""
    for key in wanted:
        live = observed.objects.get(key)
        if live is None:
            continue
        what = f"{key.kind.name} {key.name}"
        if "deletionTimestamp" in live["metadata"]:
            is_member = names.member_of(observed.cluster.metadata.name, key.name) is not None
            return _going(key.kind, what, is_member=is_member)
        if not belongs(key.kind, live, observed.cluster):
            return _taken(what, live, observed.cluster)
    return None


def belongs(kind: Kind, live: Object, cluster: Cluster) -> bool:
    """Whether an object is the Cluster's own."""
    owner = owner_uid(live)
    if owner is not None:
        return owner == cluster.metadata.uid
    labels = live["metadata"].get("labels") or {}
    return kind in _OUTLIVE and labels.get(names.CLUSTER_LABEL) == cluster.metadata.name


def missing_storage_class(observed: ObservedCluster) -> str | None:
    """The sentence for a StorageClass that is named and does not exist."""
    known = observed.storage_classes
    if known is None:
        return None
    for where, storage in storages(observed.cluster):
        if storage.class_name is not None and storage.class_name not in known:
            there = ", ".join(sorted(known)) or "none at all"
            return (
                f"There is no StorageClass {storage.class_name}, which {where} names: make it, or"
                f" name one of those there are ({there})."
            )
    return None


def storages(cluster: Cluster) -> Iterator[tuple[str, Storage]]:
    """What the spec asks for of storage, and where it does."""
    for pool in cluster.spec.pools:
        yield f"spec.pools[{pool.name}].storage.className", pool.storage
    if cluster.spec.etcd.managed is not None:
        yield "spec.etcd.managed.storage.className", cluster.spec.etcd.managed.storage


def _unmarked(membership: Membership) -> Verdict | None:
    if not membership.unmarked:
        return None
    volume = membership.unmarked[0]
    return stalled(
        "VolumeUnknown",
        f"Volume {volume} has a broker's name and does not say of which pool it is: set its"
        f" annotation {names.POOL} to the pool's name, or delete it if its data may go.",
    )


def _etcd_exchanged(observed: ObservedCluster) -> Verdict | None:
    cluster = observed.cluster
    etcd = cluster.spec.etcd.managed
    for volume in observed.all_of(PERSISTENT_VOLUME_CLAIM):
        name = volume["metadata"]["name"]
        if names.member_of(cluster.metadata.name, name) is None:
            continue
        made_with = annotation(volume, names.MEMBERS)
        if etcd is None:
            return stalled(
                "EtcdChanged",
                f"Volume {name} holds the metadata of this Cluster's managed etcd, and"
                " spec.etcd.external names another etcd, which does not know its topics: take"
                " spec.etcd back, or delete the volume if its data may go.",
            )
        if made_with is not None and made_with != str(etcd.members):
            return stalled(
                "EtcdChanged",
                f"This Cluster's etcd was made with {made_with} members, and their number cannot"
                f" be changed to {etcd.members} yet: set spec.etcd.managed.members back.",
            )
    return None


def _secret_absent(observed: ObservedCluster) -> Verdict | None:
    external = observed.cluster.spec.etcd.external
    if external is None or observed.etcd_secret_keys is not None:
        return None
    return stalled(
        "SecretNotFound",
        f"There is no Secret {external.secret} in namespace {observed.cluster.metadata.namespace},"
        " which spec.etcd.external.secret names: make it, with ca.crt, tls.crt, tls.key, username"
        " and password as far as this etcd asks for them.",
    )


def _going(kind: Kind, what: str, *, is_member: bool) -> Verdict:
    if kind is not PERSISTENT_VOLUME_CLAIM:
        return reconciling("Deleting", f"{what} is still being deleted; it is made anew after.")
    then = "an empty volume is made in its place"
    if is_member:
        then = "with three members of etcd it is then replaced, the only one is not made anew"
    return stalled(
        "VolumeDeleted",
        f"{what} was deleted by somebody and goes with its data once the pod that mounts it ends:"
        f" save what is to stay, then let that pod end; {then}."
        " Until then the operator restarts and changes nothing.",
    )


def _taken(what: str, live: Object, cluster: Cluster) -> Verdict:
    for reference in live["metadata"].get("ownerReferences") or ():
        same = reference.get("kind") == "Cluster" and reference["name"] == cluster.metadata.name
        if same:
            return reconciling(
                "Deleting", f"{what} belongs to the former Cluster of this name and is going."
            )
        return stalled(
            "NameTaken",
            f"{what} belongs to {reference.get('kind')} {reference['name']}: rename this Cluster,"
            " which needs that name.",
        )
    return stalled(
        "NameTaken",
        f"{what} is there already and belongs to nobody: delete it, or rename this Cluster, which"
        " needs that name.",
    )
