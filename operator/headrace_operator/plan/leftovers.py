"""Objects without data that the spec no longer asks for. Pure.

Volumes, Secrets and StatefulSets are never among them.
"""

from collections.abc import Iterator
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.cluster import Rendering
from headrace_operator.build.object import owner_uid
from headrace_operator.kinds import (
    CONFIG_MAP,
    POD_MONITOR,
    PROMETHEUS_RULE,
    SERVICE,
    STATEFUL_SET,
    Object,
    key_of,
)
from headrace_operator.plan.cluster_actions import Drop
from headrace_operator.plan.membership import Membership
from headrace_operator.plan.observed_cluster import ObservedCluster

_KINDS: Final = (SERVICE, CONFIG_MAP, POD_MONITOR, PROMETHEUS_RULE)


def plan_leftovers(
    observed: ObservedCluster, membership: Membership, rendering: Rendering, *, settled: bool
) -> Iterator[Drop]:
    """What may go now. A settings file goes once nothing uses it and all brokers are settled."""
    if not settled or rendering.pending:
        return
    kept = {(obj["kind"], obj["metadata"]["name"]) for obj in rendering.objects()}
    used = {volume for obj in observed.all_of(STATEFUL_SET) for volume in _config_maps(obj)}
    for kind in _KINDS:
        for obj in observed.all_of(kind):
            metadata = obj["metadata"]
            if owner_uid(obj) != observed.cluster.metadata.uid or "deletionTimestamp" in metadata:
                continue
            if (kind.name, metadata["name"]) in kept or _of_poolless(obj, membership):
                continue
            if kind is CONFIG_MAP and metadata["name"] in used:
                continue
            yield Drop(key=key_of(kind, obj), uid=metadata["uid"])


def _config_maps(stateful_set: Object) -> Iterator[str]:
    for volume in stateful_set["spec"]["template"]["spec"].get("volumes") or ():
        if "configMap" in volume:
            yield volume["configMap"]["name"]


def _of_poolless(obj: Object, membership: Membership) -> bool:
    """Whether it serves a broker whose pool is gone from the spec, which runs on as it is."""
    number = (obj["metadata"].get("labels") or {}).get(names.BROKER_LABEL)
    return number is not None and number in {str(n) for n in membership.poolless}
