"""A volume that exists beside the one that is wanted: it grows, and never shrinks. Pure.

A growth that failed may be lowered down to what the volume really has (Kubernetes'
RecoverVolumeExpansionFailure, on by default since 1.32, GA in 1.34).
"""

from dataclasses import dataclass

from headrace_operator.build.object import sealed
from headrace_operator.crd.quantity import whole_amount
from headrace_operator.kinds import PERSISTENT_VOLUME_CLAIM, Object
from headrace_operator.plan.observed_cluster import ObservedCluster


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """`wanted` is the object to bring the volume to; `shrinks` and `grows` are sentences."""

    wanted: Object
    shrinks: str | None = None
    grows: str | None = None


def plan_volume(rendered: Object, live: Object | None) -> VolumePlan:
    """What the volume is to be."""
    if live is None:
        return VolumePlan(wanted=rendered)
    name = rendered["metadata"]["name"]
    asked = rendered["spec"]["resources"]["requests"]["storage"]
    now = live["spec"]["resources"]["requests"]["storage"]
    has = (live.get("status", {}).get("capacity") or {}).get("storage")
    size, shrinks, grows = now, None, None
    if has is not None:
        if whole_amount(asked) >= min(whole_amount(now), whole_amount(has)):
            size = asked
        else:
            shrinks = (
                f"Volume {name} has {has} and cannot shrink to {asked}: set the storage size to"
                f" {has} or more."
            )
        if whole_amount(size) > whole_amount(has):
            grows = f"Volume {name} grows from {has} to {size}.{_resize_problem(live)}"
    return VolumePlan(wanted=_of_size(rendered, live, size), shrinks=shrinks, grows=grows)


def waits_for_default(live: Object) -> bool:
    """Whether a volume has no StorageClass and no PersistentVolume yet."""
    phase = (live.get("status") or {}).get("phase")
    return phase == "Pending" and "storageClassName" not in live["spec"]


def lost(observed: ObservedCluster) -> str | None:
    """The sentence for a volume whose PersistentVolume is gone."""
    for volume in observed.all_of(PERSISTENT_VOLUME_CLAIM):
        if (volume.get("status") or {}).get("phase") == "Lost":
            name, behind = volume["metadata"]["name"], volume["spec"].get("volumeName", "")
            return (
                f"PersistentVolume {behind} of volume {name} is gone: make it again over the same"
                " data; where the data is gone, too, delete the volume and the pod that mounts it."
            )
    return None


def unbound(observed: ObservedCluster) -> str | None:
    """The sentence for volumes that nobody provides."""
    if observed.default_class is not False:
        return None
    for volume in observed.all_of(PERSISTENT_VOLUME_CLAIM):
        if waits_for_default(volume):
            return (
                f"Volume {volume['metadata']['name']} waits: the spec names no StorageClass for it,"
                " and none is the default here. Mark one as the default (annotation"
                " storageclass.kubernetes.io/is-default-class), and it is provided by itself."
            )
    return None


def _of_size(rendered: Object, live: Object, size: str) -> Object:
    """The rendered volume with what cannot be changed taken from the one that exists."""
    spec = {
        "accessModes": live["spec"]["accessModes"],
        "resources": {"requests": {"storage": size}},
    }
    if "storageClassName" in live["spec"]:
        spec["storageClassName"] = live["spec"]["storageClassName"]
    return sealed({**rendered, "spec": spec})


def _resize_problem(live: Object) -> str:
    for condition in live.get("status", {}).get("conditions") or ():
        if condition["type"] in ("ControllerResizeError", "NodeResizeError"):
            return f" It failed: {condition.get('message', 'no reason was given')}."
    return ""
