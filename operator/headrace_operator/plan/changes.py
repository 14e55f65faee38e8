"""The changes that stop nothing, and the one that may. Pure."""

from collections.abc import Iterator, Mapping

from headrace_operator.build import names
from headrace_operator.build.broker import RenderedBroker
from headrace_operator.build.cluster import Rendering
from headrace_operator.build.etcd import RenderedMember, etcd_ca_secret
from headrace_operator.build.object import annotation, sealed
from headrace_operator.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    STATEFUL_SET,
    Object,
    key_of,
    kind_of,
)
from headrace_operator.plan.cluster_actions import Apply, ClusterAction, Restart
from headrace_operator.plan.cluster_units import is_outdated
from headrace_operator.plan.differences import differs
from headrace_operator.plan.etcd_state import EtcdState
from headrace_operator.plan.observed_cluster import ObservedCluster
from headrace_operator.plan.roll import Roll
from headrace_operator.plan.volume import VolumePlan, plan_volume


def volumes_of(observed: ObservedCluster, rendering: Rendering) -> dict[str, VolumePlan]:
    """By name: what each volume is to be."""
    rendered = [*(m.volume for m in rendering.members), *(b.volume for b in rendering.brokers)]
    found = {}
    for volume in rendered:
        name = volume["metadata"]["name"]
        found[name] = plan_volume(volume, observed.find(PERSISTENT_VOLUME_CLAIM, name))
    return found


def quiet_changes(
    observed: ObservedCluster,
    rendering: Rendering,
    volumes: Mapping[str, VolumePlan],
    etcd: EtcdState | None,
    *,
    make_volumes: bool,
) -> Iterator[ClusterAction]:
    """What is made and brought up to date without stopping a pod. No volume is made anew for a
    member of an etcd that had been whole: it would serve nothing and look like a cluster."""
    yield from _apply(observed, *rendering.shared, *_authority(observed))
    lost = () if etcd is None else etcd.lost
    parts: list[RenderedMember | RenderedBroker] = [*rendering.members, *rendering.brokers]
    for part in parts:
        volume = part.volume["metadata"]["name"]
        exists = observed.find(PERSISTENT_VOLUME_CLAIM, volume) is not None
        if not exists and (volume in lost or not make_volumes):
            continue
        yield from _apply(observed, volumes[volume].wanted)
        yield from _running(observed, part)


def restart(
    observed: ObservedCluster, rendering: Rendering, etcd_roll: Roll, roll: Roll
) -> list[ClusterAction]:
    """The one pod to replace now, etcd's before brokers', with what must be there before it."""
    for member in rendering.members:
        if member.index == etcd_roll.next:
            return [_restart(observed, member.stateful_set, None)]
    if etcd_roll.next is not None:
        return []
    for broker in rendering.brokers:
        if broker.broker.id == roll.next:
            report = observed.reports.get(broker.broker.id)
            epoch = None if report is None else report.epoch
            found: list[ClusterAction] = [*_apply(observed, broker.config_map)]
            return [*found, _restart(observed, broker.stateful_set, epoch)]
    return []


def _authority(observed: ObservedCluster) -> Iterator[Object]:
    """The CA's Secret as it is, but kept or not as the spec says by now."""
    cluster = observed.cluster
    live = observed.find(SECRET, names.etcd_ca(cluster.metadata.name))
    if cluster.spec.etcd.managed is not None and live is not None and observed.ca_key:
        yield etcd_ca_secret(cluster, live["data"])


def _apply(observed: ObservedCluster, *wanted: Object) -> Iterator[Apply]:
    for obj in wanted:
        if differs(observed.objects.get(key_of(kind_of(obj), obj)), obj):
            yield Apply(object=obj)


def _running(
    observed: ObservedCluster, part: RenderedBroker | RenderedMember
) -> Iterator[ClusterAction]:
    """The StatefulSet, unless bringing it up to date would replace its pod."""
    live = observed.find(STATEFUL_SET, part.stateful_set["metadata"]["name"])
    if live is not None and is_outdated(live, part.stateful_set):
        return
    if isinstance(part, RenderedBroker):
        yield from _apply(observed, part.config_map)
    yield from _apply(
        observed, _after_epoch(part.stateful_set, annotation(live, names.EPOCH_BEFORE))
    )


def _restart(observed: ObservedCluster, wanted: Object, epoch: int | None) -> Restart:
    live = observed.find(STATEFUL_SET, wanted["metadata"]["name"])
    assert live is not None
    return Restart(
        object=_after_epoch(wanted, None if epoch is None else str(epoch)),
        uid=live["metadata"]["uid"],
        resource_version=live["metadata"]["resourceVersion"],
    )


def _after_epoch(wanted: Object, epoch: str | None) -> Object:
    """The StatefulSet with the epoch that its broker had before its last restart."""
    if epoch is None:
        return wanted
    metadata = wanted["metadata"]
    annotations = {**metadata["annotations"], names.EPOCH_BEFORE: epoch}
    return sealed({**wanted, "metadata": {**metadata, "annotations": annotations}})
