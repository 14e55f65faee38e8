"""Pods deleted, brokers killed, a node drained, a volume grown: the same data, the same ids."""

import json
import time
from typing import Any

from e2e.kubernetes import demo
from e2e.kubernetes.demo import CLUSTER, TOPIC, settled
from e2e.kubernetes.step import Step
from e2e.kubernetes.world import World, until
from e2e.rig import container
from e2e.rig.process import RigFailed

LARGER = "1536Mi"
VICTIM = 0
POD = f"{CLUSTER}-a-{VICTIM}-0"


def _pod_deleted(world: World) -> str:
    # Without keys kcat puts whole batches into some of the partitions.
    demo.produce(world, [f"before {number}" for number in range(200)])
    before, cluster_id, led = demo.records(world), _cluster_id(world), _led(world)
    uid = demo.pods(world)[POD]["metadata"]["uid"]
    started = time.monotonic()
    world.kubectl("delete", "pod", POD, "--wait=false")
    until(lambda: _uid(world) not in ("", uid), what=f"another {POD}", timeout_s=60)
    replaced_s = time.monotonic() - started
    serves_s = _until_it_serves(world, led[0], started)
    until(lambda: demo.is_ready(demo.pods(world)[POD]), what=f"{POD} is Ready", timeout_s=60)
    ready_s = time.monotonic() - started
    settled(world, f"kcl/{CLUSTER}")
    _assert_same(world, before, cluster_id, led)
    return (
        f"another pod after {replaced_s:.1f} s, serving {serves_s:.1f} s, Ready {ready_s:.1f} s"
        f" after, with its {len(led)} partitions of {TOPIC}"
    )


def _killed(world: World) -> str:
    """kill -9 of the broker's process: the kubelet starts the container again, in the same pod."""
    if world.rig is None:
        return "not done: a broker's process can be killed only from its node, which is the rig's"
    before, cluster_id, led = demo.records(world), _cluster_id(world), _led(world)
    pod = demo.pods(world)[POD]
    status = pod["status"]["containerStatuses"][0]
    started = time.monotonic()
    container.kill(status["containerID"])
    serves_s = _until_it_serves(world, led[0], started)
    again = status["restartCount"] + 1
    until(lambda: _restarts(world) == again, what="its container started again", timeout_s=60)
    until(lambda: demo.is_ready(demo.pods(world)[POD]), what=f"{POD} is Ready", timeout_s=60)
    ready_s = time.monotonic() - started
    settled(world, f"kcl/{CLUSTER}")
    if _uid(world) != pod["metadata"]["uid"]:
        raise AssertionError("it is another pod")
    _assert_same(world, before, cluster_id, led)
    return (
        f"serving {serves_s:.1f} s, Ready {ready_s:.1f} s after kill -9, with its {len(led)}"
        f" partitions of {TOPIC}"
    )


def _volume_grown(world: World) -> str:
    """All brokers' volumes grow while they are in use; a smaller size is refused."""
    before = _space_mib(world)
    started = time.monotonic()
    _resize(world, LARGER)
    cluster = settled(world, f"kcl/{CLUSTER}")
    until(lambda: _space_mib(world) > before, what="more room in the pod", timeout_s=30)
    took_s = time.monotonic() - started
    said = cluster["status"]["pools"][0]["storageSize"]
    if said != LARGER:
        raise AssertionError(f"status says {said}")
    why = demo.refused(lambda: _resize(world, "1Gi"))
    sentence = why.rpartition("Invalid value: ")[2].partition(": ")[2].strip() or why
    return (
        f"{before} MiB became {_space_mib(world)} MiB in use after {took_s:.1f} s; back to 1Gi:"
        f' "{sentence}"'
    )


def _drained(world: World) -> str:
    """A node goes out of service; the budget lets no second broker go meanwhile."""
    node = _node_to_drain(world)
    found = demo.pods(world)
    mine = [name for name, pod in found.items() if pod["spec"]["nodeName"] == node]
    other = next(name for name in found if name not in mine)
    before, cluster_id = demo.records(world), _cluster_id(world)
    started = time.monotonic()
    try:
        _drain(world, node, len(mine))
        drained_s = time.monotonic() - started
        said = demo.says(world, f"kcl/{CLUSTER}", "Unschedulable", kind="Reconciling")
        refused = demo.refused(lambda: _evict(world, other))
        if "disruption budget" not in refused:
            raise AssertionError(f"a second broker was not refused for the budget: {refused}")
    finally:
        world.kubectl("uncordon", node)
    uncordoned = time.monotonic()
    settled(world, f"kcl/{CLUSTER}")
    back_s = time.monotonic() - uncordoned
    _assert_same(world, before, cluster_id)
    return (
        f"{node} drained after {drained_s:.1f} s, the budget keeps {other}, Ready {back_s:.1f} s"
        f' after `kubectl uncordon`; meanwhile: "{said[:120]}"'
    )


STEPS = [
    Step(name="a broker's pod is deleted", does=_pod_deleted, limit_s=120),
    Step(name="a broker is killed with kill -9", does=_killed, limit_s=120),
    Step(name="volumes grow in use", does=_volume_grown, limit_s=90),
    Step(name="a node is drained", does=_drained, limit_s=180),
]


def _node_to_drain(world: World) -> str:
    """A node with brokers, and without the only member of etcd and without kcat."""
    etcd = demo.pods(world, "headrace.io/cluster=demo,app.kubernetes.io/component=etcd")
    others = [*etcd.values(), world.get("pod/kcat", "-n", "default")]
    kept = {pod["spec"]["nodeName"] for pod in others}
    nodes = sorted({pod["spec"]["nodeName"] for pod in demo.pods(world).values()} - kept)
    if not nodes:
        raise AssertionError(f"every node with a broker has etcd or kcat too: {kept}")
    return nodes[0]


def _drain(world: World, node: str, brokers: int) -> None:
    """Drains a node. Of two brokers there only the first may go while its volume holds it to the
    node: that is the budget's work, and the node is drained as far as it can be."""
    flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=20s"]
    try:
        world.kubectl("drain", node, *flags)
    except RigFailed as refused:
        if brokers < 2 or "disruption budget" not in str(refused):
            raise


def _evict(world: World, pod: str) -> None:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": "default"},
    }
    path = f"/api/v1/namespaces/default/pods/{pod}/eviction"
    world.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))


def _uid(world: World) -> str:
    pod = demo.pods(world).get(POD)
    return "" if pod is None else str(pod["metadata"]["uid"])


def _restarts(world: World) -> int:
    return int(demo.pods(world)[POD]["status"]["containerStatuses"][0]["restartCount"])


def _until_it_serves(world: World, partition: int, started: float) -> float:
    """Seconds since `started` until a record of that partition is read from outside, by our
    command, whose own start takes half a second of it."""
    bootstrap = demo.outside(world)
    flags = ["-p", str(partition), "--from-beginning", "--count", "1"]

    def served() -> bool:
        try:
            return bool(world.headrace(bootstrap, "consume", TOPIC, *flags))
        except RigFailed:
            return False

    until(served, what=f"partition {partition} is served", timeout_s=60)
    return time.monotonic() - started


def _led(world: World) -> list[int]:
    """The partitions of the topic that the victim leads."""
    led = [number for number, leader in demo.leaders(world, TOPIC).items() if leader == VICTIM]
    if not led:
        raise AssertionError(f"broker {VICTIM} leads nothing of {TOPIC}")
    return led


def _assert_same(
    world: World, before: list[str], cluster_id: str, led: list[int] | None = None
) -> None:
    now = demo.records(world)
    if now != before:
        raise AssertionError(f"{len(now)} records are there, {len(before)} were")
    if _cluster_id(world) != cluster_id:
        raise AssertionError(f"cluster id {cluster_id} became {_cluster_id(world)}")
    if led is not None and _led(world) != led:
        raise AssertionError(f"broker {VICTIM} led {led}, leads {_led(world)}")


def _cluster_id(world: World) -> str:
    return str(world.get(f"kcl/{CLUSTER}")["status"]["clusterId"])


def _resize(world: World, size: str) -> None:
    storage: dict[str, Any] = world.get(f"kcl/{CLUSTER}")["spec"]["pools"][0]["storage"]
    demo.patch_pool(world, CLUSTER, storage={**storage, "size": size})


def _space_mib(world: World) -> int:
    """The size of the broker's data folder as the broker's own process sees it."""
    look = "import os; s = os.statvfs('/var/lib/headrace'); print(s.f_blocks * s.f_frsize)"
    return int(world.kubectl("exec", POD, "--", "python3", "-c", look)) >> 20
