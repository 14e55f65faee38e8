"""How a managed etcd stands: whole once, whole now, able to decide, out of room. Pure."""

from dataclasses import dataclass

from headrace_operator.build import names
from headrace_operator.build.etcd import INITIAL_STATE, peer_url
from headrace_operator.build.object import annotation
from headrace_operator.crd.etcd import ManagedEtcd
from headrace_operator.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM
from headrace_operator.plan.observed_cluster import ListedMember, ObservedCluster


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdState:
    """`lost` are members whose volume is gone although etcd had been whole; `replaced` those of
    them that etcd counts as new ones by now, so that they may start empty."""

    members: int
    healthy: int
    initialized: bool
    lost: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    alarm: str | None = None

    @property
    def has_majority(self) -> bool:
        return 2 * self.healthy > self.members


def etcd_state(observed: ObservedCluster, etcd: ManagedEtcd) -> EtcdState:
    """The state of the managed etcd."""
    name = observed.cluster.metadata.name
    volumes = {
        index: observed.find(PERSISTENT_VOLUME_CLAIM, names.etcd_member(name, index))
        for index in range(etcd.members)
    }
    shared = observed.find(CONFIG_MAP, names.etcd_service(name)) or {}
    recorded = (shared.get("data") or {}).get(INITIAL_STATE) == "existing" or any(
        annotation(volume, names.INITIALIZED) == "true" for volume in volumes.values()
    )
    healthy = [index for index, member in observed.members.items() if member.healthy]
    alarms = [
        f"etcd member {names.etcd_member(name, index)} raised {member.alarm}"
        for index, member in sorted(observed.members.items())
        if member.alarm
    ]
    gone = [index for index, volume in volumes.items() if volume is None and recorded]
    fresh = [index for index in gone if _is_new(observed, index)]
    return EtcdState(
        members=etcd.members,
        healthy=len(healthy),
        initialized=recorded or len(healthy) == etcd.members,
        lost=tuple(names.etcd_member(name, index) for index in gone if index not in fresh),
        replaced=tuple(names.etcd_member(name, index) for index in fresh),
        alarm=alarms[0] if alarms else None,
    )


def counted(observed: ObservedCluster, index: int) -> ListedMember | None:
    """The member as etcd counts it; None where it does not, or was not asked."""
    url = peer_url(observed.cluster, index)
    return next((one for one in observed.etcd_listed or () if url in one.peer_urls), None)


def _is_new(observed: ObservedCluster, index: int) -> bool:
    member = counted(observed, index)
    return member is not None and not member.name
