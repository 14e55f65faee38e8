"""What a person needs to see when a step failed: conditions, pods, events, logs."""

import json
from typing import Any

from e2e.kubernetes.world import World
from e2e.rig.process import RigFailed

EVENTS_SHOWN = 40
LOG_LINES_SHOWN = 40
OUR_PODS = ("headrace", "headrace-operator")
OURS = ("clusters.headrace.io", "topics.headrace.io", "quotas.headrace.io")


def explain(world: World) -> None:
    """Prints it; a part that cannot be had says why and does not hide the others."""
    for title, command in (
        ("nodes", ["get", "nodes", "-o", "wide"]),
        ("pods", ["get", "pods", "-A", "-o", "wide"]),
        ("claims", ["get", "pvc", "-A"]),
    ):
        _show(title, _said(world, *command))
    for kind in OURS:
        _show(f"conditions of {kind}", _conditions(world, kind))
    for pod in _pods(world):
        if not _is_ready(pod):
            _explain_pod(world, pod["metadata"]["namespace"], pod["metadata"]["name"])
    for pod in _pods(world):
        if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") in OUR_PODS:
            _show_log(world, pod["metadata"]["namespace"], pod["metadata"]["name"])
    events = _said(world, "get", "events", "-A", "--sort-by=.metadata.creationTimestamp")
    _show("the latest events", "\n".join(events.splitlines()[-EVENTS_SHOWN:]))
    if world.rig is not None:
        print(f"logs of the rig: {world.rig.api.logs}", flush=True)


def _explain_pod(world: World, namespace: str, name: str) -> None:
    told = _said(world, "describe", "pod", "-n", namespace, name)
    _show(f"pod {namespace}/{name}", told)
    _show_log(world, namespace, name)
    _show_log(world, namespace, name, "--previous")


def _show_log(world: World, namespace: str, name: str, *flags: str) -> None:
    which = ["--all-containers", f"--tail={LOG_LINES_SHOWN}", *flags]
    _show(
        f"log of {namespace}/{name} {' '.join(flags)}",
        _said(world, "logs", "-n", namespace, name, *which),
    )


def _conditions(world: World, kind: str) -> str:
    try:
        found = json.loads(_said(world, "get", kind, "-A", "-o", "json"))["items"]
    except ValueError:
        return "there is no such resource"
    lines = []
    for thing in found:
        where = thing["metadata"]
        for condition in thing.get("status", {}).get("conditions", []):
            state = f"{condition['type']}={condition['status']}"
            lines.append(
                f"{where['namespace']}/{where['name']} {state} {condition.get('reason', '')}:"
                f" {condition.get('message', '')}"
            )
    return "\n".join(lines)


def _pods(world: World) -> list[Any]:
    try:
        return list(world.get("pods", "-A")["items"])
    except RigFailed:
        return []


def _is_ready(pod: Any) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in pod.get("status", {}).get("conditions", [])
    )


def _said(world: World, *command: str) -> str:
    try:
        return world.kubectl(*command, timeout_s=20.0)
    except RigFailed as fault:
        return str(fault)


def _show(title: str, text: str) -> None:
    print(f"--- {title}\n{text.rstrip()}", flush=True)
