"""How a Cluster stands, in one sentence: the worst of what is so. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from headrace_operator.build.cluster import Rendering
from headrace_operator.plan.certificates import lost_ca
from headrace_operator.plan.cluster_actions import EtcdAction
from headrace_operator.plan.etcd_state import EtcdState
from headrace_operator.plan.etcd_verdict import majority_lost, moving_etcd, stuck_etcd
from headrace_operator.plan.membership import Membership
from headrace_operator.plan.observed_cluster import Failure, ObservedCluster
from headrace_operator.plan.roll import Roll, Unit
from headrace_operator.plan.verdict import Verdict, ready, reconciling, stalled
from headrace_operator.plan.volume import lost, unbound

PARTITIONS_NAMED: Final = 3
"""In a sentence; the count says how many more there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a pass found out."""

    observed: ObservedCluster
    membership: Membership
    rendering: Rendering
    units: tuple[Unit, ...]
    members: tuple[Unit, ...]
    roll: Roll
    etcd_roll: Roll
    etcd: EtcdState | None
    care: EtcdAction | None
    storage_class: str | None
    shrinks: tuple[str, ...]
    grows: tuple[str, ...]


def verdict_of(standing: Standing, *, changing: bool) -> Verdict:
    """What stands in the way, else what is on its way, else that all is well."""
    for verdict in (*_stuck(standing), *_moving(standing, changing=changing)):
        return verdict
    count = len(standing.membership.brokers)
    serve = "1 broker serves" if count == 1 else f"All {count} brokers serve"
    return ready("Ready", f"{serve} with the settings of the spec.")


def _stuck(standing: Standing) -> Iterator[Verdict]:
    etcd = standing.etcd
    if etcd is not None:
        yield from stuck_etcd(standing.observed, etcd, standing.care)
        yield from majority_lost(etcd, standing.members, standing.etcd_roll)
    gone = lost(standing.observed)
    if gone is not None:
        yield stalled("VolumeLost", gone)
    if standing.storage_class is not None:
        yield stalled("StorageClassNotFound", standing.storage_class)
    # Brokers end and start again while there is no etcd to register in: that is etcd's sentence.
    blame_brokers = etcd is None or etcd.has_majority
    for roll in (standing.etcd_roll, *([standing.roll] if blame_brokers else [])):
        if roll.failed is not None:
            yield _failed(roll.failed, roll)
    for unit in (*standing.members, *(standing.units if blame_brokers else ())):
        if unit.failure is not None and unit.failure.reason != "Unschedulable":
            yield stalled(unit.failure.reason, unit.failure.message)
    for sentence in standing.shrinks:
        yield stalled("VolumeCannotShrink", sentence)
    yield from _leaving(standing)
    ca = lost_ca(standing.observed) if etcd is not None else None
    if ca is not None:
        yield stalled("CertificateAuthorityLost", ca)


def _failed(failure: Failure, roll: Roll) -> Verdict:
    stopped = ""
    if roll.remaining:
        noun = "pod keeps" if roll.remaining == 1 else "pods keep"
        stopped = f" The roll stops here: {roll.remaining} {noun} the former settings."
    return stalled(failure.reason, f"{failure.message}{stopped}")


def _leaving(standing: Standing) -> Iterator[Verdict]:
    membership = standing.membership
    for number in sorted(membership.leaving | membership.poolless, reverse=True):
        held = standing.observed.held.get(number)
        cure = (
            "raise the replicas of its pool again"
            if number in membership.leaving
            else "put its pool back into the spec"
        )
        if held is None:
            what = "may still hold partitions, which could not be asked"
        elif not held:
            what = "holds no partition, and brokers are not removed yet in this release"
        else:
            named = ", ".join(held[:PARTITIONS_NAMED])
            more = ", ..." if len(held) > PARTITIONS_NAMED else ""
            noun = "partition" if len(held) == 1 else "partitions"
            what = f"still holds {len(held)} {noun} ({named}{more})"
        yield stalled(
            "BrokerStillNeeded",
            f"broker {number} {what}: it stays, and nothing is deleted; {cure}.",
        )


def _moving(standing: Standing, *, changing: bool) -> Iterator[Verdict]:
    if standing.etcd is not None:
        yield from moving_etcd(standing.etcd, standing.care)
    waits = unbound(standing.observed)
    if waits is not None:
        yield reconciling("NoDefaultStorageClass", waits)
    for why in standing.rendering.pending.values():
        yield reconciling("Pending", why)
    for unit in (*standing.members, *standing.units):
        if unit.failure is not None:
            yield reconciling(unit.failure.reason, unit.failure.message)
    for what, roll in (("etcd", standing.etcd_roll), ("brokers", standing.roll)):
        if roll.remaining:
            why = f" {roll.blocked[0]}" if roll.blocked else ""
            yield reconciling(
                "Rolling",
                f"The pods of {what} restart one at a time: {roll.remaining} to go.{why}",
            )
    for unit in (*standing.members, *standing.units):
        if unit.waits_for is not None:
            yield reconciling("Starting", unit.waits_for)
    for sentence in standing.grows:
        yield reconciling("VolumeGrows", sentence)
    if changing:
        yield reconciling("Applying", "Objects of this Cluster are being brought up to date.")
