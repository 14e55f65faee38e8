"""The Cluster of the examples, as a user and as a client sees it."""

import json
from collections.abc import Callable
from typing import Any

from e2e.kubernetes.world import World, until
from e2e.rig.paths import ROOT
from e2e.rig.process import RigFailed

CLUSTER = "demo"
TOPIC = "orders"
BROKERS = "headrace.io/cluster=demo,app.kubernetes.io/component=broker"
LICENCE = (ROOT / "LICENSE").read_text()
LINES = [line for line in LICENCE.splitlines() if line]
"""What kcat sends of it: no empty records."""


def settled(
    world: World, what: str, *, namespace: str = "default", timeout_s: float = 60.0
) -> dict[str, Any]:
    """Waits until `kind/name` is Ready with its latest spec, and returns it."""

    def ready() -> dict[str, Any] | None:
        thing: dict[str, Any] = world.get(what, "-n", namespace)
        seen = thing.get("status", {}).get("observedGeneration")
        is_ready = condition(thing, "Ready").get("status") == "True"
        return thing if is_ready and seen == thing["metadata"]["generation"] else None

    found: dict[str, Any] = until(ready, what=f"{what} is Ready", timeout_s=timeout_s)
    return found


def says(
    world: World,
    what: str,
    reason: str,
    *,
    kind: str = "",
    namespace: str = "default",
    timeout_s: float = 60.0,
) -> str:
    """Waits for a true condition (of that type, else any) with that reason: its sentence."""

    def said() -> str:
        for one in conditions(world.get(what, "-n", namespace)):
            if one["reason"] == reason and one["status"] == "True" and kind in ("", one["type"]):
                return str(one["message"])
        return ""

    awaited = f"{what} says {kind or 'something'} with reason {reason}"
    return str(until(said, what=awaited, timeout_s=timeout_s))


def conditions(thing: dict[str, Any]) -> list[dict[str, Any]]:
    return list(thing.get("status", {}).get("conditions", []))


def condition(thing: dict[str, Any], kind: str) -> dict[str, Any]:
    """The condition of that type, {} where there is none."""
    return next((one for one in conditions(thing) if one["type"] == kind), {})


def patch(world: World, what: str, spec: Any, *, namespace: str = "default") -> None:
    """A merge patch of the spec."""
    text = json.dumps({"spec": spec})
    world.kubectl("patch", what, "-n", namespace, "--type=merge", "-p", text)


def patch_pool(world: World, cluster: str, *, namespace: str = "default", **fields: Any) -> None:
    """Changes fields of the Cluster's first pool."""
    pool = world.get(f"kcl/{cluster}", "-n", namespace)["spec"]["pools"][0]
    patch(world, f"kcl/{cluster}", {"pools": [{**pool, **fields}]}, namespace=namespace)


def refused(does: Callable[[], Any]) -> str:
    """What it was refused with; raises AssertionError where it was not."""
    try:
        does()
    except RigFailed as fault:
        return str(fault)
    raise AssertionError("what should have been refused was done")


def pods(world: World, labels: str = BROKERS) -> dict[str, dict[str, Any]]:
    """Pods by name."""
    found = world.get("pods", "-n", "default", "-l", labels)["items"]
    return {pod["metadata"]["name"]: pod for pod in found}


def is_ready(pod: dict[str, Any]) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def lives(found: dict[str, dict[str, Any]]) -> dict[str, tuple[str, int, bool]]:
    """Of each pod: its UID, how often its container was started again, whether it is ready."""
    return {
        name: (
            pod["metadata"]["uid"],
            sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])),
            is_ready(pod),
        )
        for name, pod in found.items()
    }


def outside(world: World) -> str:
    """Where clients outside start: a node's address and the node port."""
    service = world.get("service/demo-outside-bootstrap", "-n", "default")
    return f"{world.node_address()}:{service['spec']['ports'][0]['nodePort']}"


def topic(world: World, name: str = TOPIC) -> dict[str, Any]:
    """The topic as the brokers tell it: partitions with leaders and offsets, settings, id."""
    text = world.headrace(outside(world), "topic", "describe", name, "-o", "json")
    return dict(json.loads(text))


def leaders(world: World, name: str) -> dict[int, int]:
    """The leader of each partition."""
    return {one["partition"]: one["leader"] for one in topic(world, name)["partitions"]}


def records(world: World, name: str = TOPIC) -> list[str]:
    """Every record with its partition and offset, sorted."""
    flags = ["--from-beginning", "--no-follow", "--format", "%p %o %v"]
    return sorted(world.headrace(outside(world), "consume", name, *flags).splitlines())


def produce(world: World, lines: list[str], name: str = TOPIC) -> None:
    """Writes lines, each with a key of its own, so that all partitions get some."""
    text = "".join(f"{line}\t{line}\n" for line in lines)
    world.headrace(outside(world), "produce", name, "--key-separator", "\t", text=text)
