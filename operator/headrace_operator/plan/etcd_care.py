"""What a managed etcd needs beside its pods: a lost member replaced, room given back. Pure.

One thing at a time, and only while the other members are well. Nothing is ever done that could
leave etcd without a majority, or begin an empty one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.etcd import peer_url, quota_bytes
from headrace_operator.crd.etcd import ManagedEtcd
from headrace_operator.plan.cluster_actions import (
    Defragment,
    DisarmAlarm,
    EtcdAction,
    ReplaceMember,
)
from headrace_operator.plan.etcd_state import EtcdState, counted
from headrace_operator.plan.observed_cluster import EtcdSize, ObservedCluster
from headrace_operator.plan.roll import Unit

DEFRAGMENT_FROM_BYTES: Final = 64 * 2**20
"""A smaller database is not worth a pause, however empty it is."""
NOSPACE: Final = "NOSPACE"
ROOMY: Final = 0.8
"""Of its quota: an etcd that would still be fuller than this after all needs a larger volume."""


def plan_care(
    observed: ObservedCluster, etcd: ManagedEtcd, state: EtcdState, members: Sequence[Unit]
) -> EtcdAction | None:
    """The one thing to do now, if any. `members` are those that exist."""
    if state.lost:
        return _replacement(observed, etcd, state)
    health = observed.members.values()
    answering = [one for one in health if one.healthy or one.alarm == NOSPACE]
    moving = any(unit.outdated or unit.replacing for unit in members)
    if moving or len(answering) < etcd.members or len(observed.etcd_sizes) < etcd.members:
        return None
    alarmed = any(one.alarm == NOSPACE for one in health)
    return _room(observed.etcd_sizes, quota_bytes(etcd), alarmed=alarmed)


def _replacement(
    observed: ObservedCluster, etcd: ManagedEtcd, state: EtcdState
) -> ReplaceMember | None:
    """Only one that is lost alone, while every other member is well and counted."""
    index = names.member_of(observed.cluster.metadata.name, state.lost[0])
    if index is None or etcd.members == 1 or len(state.lost) > 1 or observed.etcd_listed is None:
        return None
    for other in range(etcd.members):
        health = observed.members.get(other)
        if (other != index) is not (health is not None and health.healthy):
            return None
        known = counted(observed, other)
        if other != index and (known is None or not known.name):
            return None
    former = counted(observed, index)
    return ReplaceMember(
        index=index,
        peer_url=peer_url(observed.cluster, index),
        former=None if former is None else former.id,
    )


def _room(sizes: Mapping[int, EtcdSize], quota: int, *, alarmed: bool) -> EtcdAction | None:
    """The leader pauses last: with the others done it is the only one that holds anybody up."""
    for index, size in sorted(sizes.items(), key=lambda item: (item[1].leads, item[0])):
        half_empty = size.total_bytes > DEFRAGMENT_FROM_BYTES and (
            2 * size.in_use_bytes < size.total_bytes
        )
        full = alarmed and size.total_bytes > ROOMY * quota > size.in_use_bytes
        if half_empty or full:
            return Defragment(index=index)
    if alarmed and all(size.total_bytes <= ROOMY * quota for size in sizes.values()):
        return DisarmAlarm()
    return None
