"""How a managed etcd stands, as sentences for its Cluster's status. Pure."""

from collections.abc import Iterator, Sequence

from headrace_operator.build import names
from headrace_operator.plan.cluster_actions import EtcdAction, ReplaceMember
from headrace_operator.plan.etcd_care import NOSPACE
from headrace_operator.plan.etcd_state import EtcdState
from headrace_operator.plan.observed_cluster import ObservedCluster
from headrace_operator.plan.roll import Roll, Unit
from headrace_operator.plan.verdict import Verdict, reconciling, stalled


def stuck_etcd(
    observed: ObservedCluster, etcd: EtcdState, care: EtcdAction | None
) -> Iterator[Verdict]:
    """What somebody has to mend."""
    if etcd.lost and not isinstance(care, ReplaceMember):
        yield _lost(observed, etcd)
    if etcd.alarm is not None:
        yield stalled("EtcdAlarm", f"{etcd.alarm}: {_alarm_cure(etcd.alarm)}")


def majority_lost(etcd: EtcdState, members: Sequence[Unit], roll: Roll) -> Iterator[Verdict]:
    """Too few members answer, and nothing that is being done would explain it."""
    unexplained = roll.remaining == 0 and any(unit.failure for unit in members)
    if not etcd.initialized or etcd.has_majority or not unexplained:
        return
    reasons = [unit.waits_for for unit in members if unit.waits_for is not None]
    why = f"{reasons[0]} " if reasons else ""
    yield stalled(
        "EtcdMajorityLost",
        f"{etcd.healthy} of {etcd.members} etcd members answer, which is no majority: metadata"
        f" cannot change until more are back. {why}Records are written and read meanwhile.",
    )


def moving_etcd(etcd: EtcdState, care: EtcdAction | None) -> Iterator[Verdict]:
    """What goes on by itself."""
    gone = (*etcd.lost, *etcd.replaced)
    if etcd.replaced or isinstance(care, ReplaceMember):
        yield reconciling(
            "EtcdMemberReplaced",
            f"Volume {gone[0]} of an etcd member is gone: a new member takes its place and copies"
            f" the metadata from the other {etcd.members - len(gone)}.",
        )


def _lost(observed: ObservedCluster, etcd: EtcdState) -> Verdict:
    volume = etcd.lost[0]
    remaining = etcd.members - len(etcd.lost) - len(etcd.replaced)
    if 2 * remaining <= etcd.members:
        return stalled(
            "EtcdLost",
            f"Volume {volume} with the metadata of this Cluster is gone, and no empty etcd is made"
            " in its place: put the volume back or restore a snapshot. Brokers go on serving what"
            " they lead until they restart.",
        )
    index = names.member_of(observed.cluster.metadata.name, volume)
    health = None if index is None else observed.members.get(index)
    wait = "the other members all answer"
    if health is not None and health.healthy:
        wait = f"its pod, which still serves from it, has ended (kubectl delete pod {volume}-0)"
    return stalled(
        "EtcdMemberLost",
        f"Volume {volume} of an etcd member is gone; {remaining} of {etcd.members} members hold"
        f" the metadata. The member is replaced once {wait}.",
    )


def _alarm_cure(alarm: str) -> str:
    if alarm.endswith(NOSPACE):
        return (
            "etcd takes no more writes. Its history is compacted each hour; the members are then"
            " defragmented and the alarm disarmed by themselves. A larger"
            " spec.etcd.managed.storage.size gives it more room. Records are written and read"
            " meanwhile."
        )
    return (
        "its members do not hold the same, and etcd takes no more writes. Find out which one is"
        " right (etcdctl endpoint hashkv), take a snapshot of that one (headrace-operator etcd"
        " snapshot --member), and restore it (examples/restore.md)."
    )
