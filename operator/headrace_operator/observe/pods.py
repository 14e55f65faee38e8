"""A pod as Kubernetes shows it, read as what the plan asks: does it run, and if not, why. Pure."""

from typing import Any, Final

from headrace_operator.build import names
from headrace_operator.build.object import annotation
from headrace_operator.kinds import Object
from headrace_operator.plan.observed_cluster import Blame, Failure, Pod

_IMAGE: Final = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
_CONFIG: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_LOG_CHARACTERS_MAX: Final = 400
"""Of a container's last words in a sentence."""


def read_pod(pod: Object, *, node_lost: bool) -> Pod:
    """What the plan needs of a pod."""
    status = pod.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    name = pod["metadata"]["name"]
    return Pod(
        name=name,
        pod_hash=annotation(pod, names.POD_HASH) or "",
        ready=conditions.get("Ready", {}).get("status") == "True"
        and "deletionTimestamp" not in pod["metadata"],
        terminating="deletionTimestamp" in pod["metadata"],
        node_address=status.get("hostIP", ""),
        failure=_node_failure(pod)
        if node_lost
        else _unschedulable(name, conditions) or _container_failure(name, status),
    )


def is_lost(node: Object | None) -> bool:
    """Whether a node that pods were given to is gone or does not answer."""
    if node is None:
        return True
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = [item["status"] for item in conditions if item["type"] == "Ready"]
    return bool(ready) and ready[0] != "True"


def _node_failure(pod: Object) -> Failure:
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    return Failure(
        blame=Blame.PLACE,
        reason="NodeLost",
        message=(
            f"Pod {name} is on node {node}, which does not answer: bring the node back; if it is"
            f" gone for good, `kubectl delete node {node}` lets the pod start elsewhere where its"
            " volume can follow. It is never deleted by force, for it may still be running."
        ),
    )


def _unschedulable(name: str, conditions: dict[str, Any]) -> Failure | None:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    return Failure(
        blame=Blame.PLACE,
        reason="Unschedulable",
        message=f"Pod {name} finds no node: {scheduled.get('message', 'no reason was given')}",
    )


def _container_failure(name: str, status: Object) -> Failure | None:
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, said = waiting.get("reason", ""), waiting.get("message", "no reason was given")
        if reason in _IMAGE:
            message = (
                f"Pod {name} cannot pull its image {container['image']}: {said} Mend the image's"
                " name or the registry; the pod tries again by itself."
            )
        elif reason in _CONFIG:
            message = f"Pod {name} cannot start: {said}"
        elif reason == "CrashLoopBackOff":
            message = f"Pod {name} starts and ends again{_last_words(container)}"
        else:
            continue
        return Failure(blame=Blame.POD, reason=reason, message=message)
    return None


def _last_words(container: Object) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    code = ended.get("exitCode", "unknown")
    words = str(ended.get("message") or "").strip()[-_LOG_CHARACTERS_MAX:]
    return f" (exit code {code}): {words or 'see its log.'}"
