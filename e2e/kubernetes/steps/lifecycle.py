"""A Cluster suspended, rolled, deleted and applied again; and everything deleted for good."""

import time

from e2e.kubernetes import demo
from e2e.kubernetes.demo import CLUSTER, TOPIC, patch, settled
from e2e.kubernetes.step import Step
from e2e.kubernetes.world import World, until

STATIC = {"connections.max.idle.ms": "540000"}
"""A setting that only a start reads."""
SUSPENDED_S = 5.0
"""Longer than the operator takes for anything: whether nothing happens takes time to see."""


def _suspended(world: World) -> str:
    """Nothing changes while spec.suspend is true; then the brokers restart one at a time."""
    before, data = demo.lives(demo.pods(world)), demo.records(world)
    patch(world, f"kcl/{CLUSTER}", {"suspend": True, "config": STATIC})
    said = demo.says(world, f"kcl/{CLUSTER}", "Suspended", kind="Reconciling")
    ends = time.monotonic() + SUSPENDED_S
    while time.monotonic() < ends:
        if demo.lives(demo.pods(world)) != before:
            raise AssertionError("a pod changed while the Cluster is suspended")
        time.sleep(0.5)
    started = time.monotonic()
    patch(world, f"kcl/{CLUSTER}", {"suspend": False})
    away_most = 0

    def rolled() -> bool:
        nonlocal away_most
        now = demo.lives(demo.pods(world))
        ready = sum(is_ready for _, _, is_ready in now.values())
        away_most = max(away_most, len(before) - ready)
        replaced = all(now[name][0] != before[name][0] for name in before if name in now)
        return replaced and ready == len(before)

    until(rolled, what="every broker has the new setting", timeout_s=120)
    settled(world, f"kcl/{CLUSTER}")
    rolled_s = time.monotonic() - started
    if away_most > 1:
        raise AssertionError(f"{away_most} brokers were away at once")
    if demo.records(world) != data:
        raise AssertionError("the records are not the same")
    return (
        f'"{said}" and no pod changed; then {len(before)} brokers restarted one at a time in'
        f" {rolled_s:.1f} s"
    )


def _applied_again(world: World) -> str:
    """Delete the Cluster, apply the same file: the same records, offsets and ids."""
    cluster = world.get(f"kcl/{CLUSTER}")
    data, topic_id = demo.records(world), demo.topic(world)["topic_id"]
    started = time.monotonic()
    world.kubectl("delete", f"kcl/{CLUSTER}", "--wait=true", timeout_s=60)
    until(lambda: not _left(world, "pods,statefulsets,services"), what="it is gone", timeout_s=90)
    gone_s = time.monotonic() - started
    orphan = demo.says(world, f"ktp/{TOPIC}", "ClusterNotFound", kind="Stalled")
    started = time.monotonic()
    spec = {key: cluster[key] for key in ("apiVersion", "kind", "spec")}
    world.apply({**spec, "metadata": {"name": CLUSTER, "namespace": "default"}})
    now = settled(world, f"kcl/{CLUSTER}", timeout_s=120)
    ready_s = time.monotonic() - started
    settled(world, f"ktp/{TOPIC}")
    settled(world, "kq/loader")
    if now["status"]["clusterId"] != cluster["status"]["clusterId"]:
        raise AssertionError("it has another cluster id")
    if demo.topic(world)["topic_id"] != topic_id or demo.records(world) != data:
        raise AssertionError("the topic or its records are not the same")
    return (
        f'gone after {gone_s:.1f} s, its Topic says "{orphan}"; applied again, Ready after'
        f" {ready_s:.1f} s with the same id and {len(data)} records at their offsets"
    )


def _deleted(world: World) -> str:
    """reclaimPolicy Delete, then all that the examples and the steps made."""
    patch(world, f"kcl/{CLUSTER}", {"reclaimPolicy": "Delete"})
    settled(world, f"kcl/{CLUSTER}")
    started = time.monotonic()
    world.shell("kubectl delete -f examples/", timeout_s=120)
    world.kubectl("delete", "ktp/later", "pod/kcat", "--ignore-not-found", timeout_s=90)
    kinds = world.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    every = ",".join(kind for kind in kinds if not kind.startswith("events"))
    until(lambda: not _left(world, every), what="nothing of it is left", timeout_s=120)
    until(lambda: not _volumes(world), what="no volume of it is left", timeout_s=60)
    return (
        f"{time.monotonic() - started:.1f} s after `kubectl delete` began nothing of {len(kinds)}"
        " kinds is left, and no volume"
    )


STEPS = [
    Step(name="a Cluster is suspended, then rolled", does=_suspended, limit_s=200),
    Step(name="a Cluster is deleted and applied again", does=_applied_again, limit_s=300),
]
DELETED = [Step(name="all is deleted, nothing is left", does=_deleted, limit_s=300)]


def _left(world: World, kinds: str) -> list[str]:
    """What is still there of the Cluster, as kind/name; what Kubernetes itself puts is not."""
    items = world.get(kinds, "-n", "default")["items"]
    found = [f"{one['kind']}/{one['metadata']['name']}" for one in items]
    return [name for name in found if name.partition("/")[2].startswith(f"{CLUSTER}-")] + [
        name for name in found if name.endswith(f"/{CLUSTER}") and not name.startswith("Cluster/")
    ]


def _volumes(world: World) -> list[str]:
    claims = [one["spec"].get("claimRef", {}) for one in world.get("pv")["items"]]
    return [one["name"] for one in claims if one.get("namespace") == "default"]
