"""etcd is stopped: records are written, read and committed all the same, and no pod notices."""

import json
import os
import time

from e2e.kubernetes import demo
from e2e.kubernetes.demo import CLUSTER, TOPIC, patch, settled
from e2e.kubernetes.step import Step
from e2e.kubernetes.world import World, until
from e2e.rig.process import RigFailed

AWAY_S = float(os.environ.get("E2E_ETCD_AWAY_SECONDS", "300"))
"""Five minutes: past every lease, retry and cache there is."""
ETCD = f"{CLUSTER}-etcd-0"
GROUP = "while-etcd-is-away"
LINES_A_ROUND = 100


def _away(world: World) -> str:
    before, data = demo.lives(demo.pods(world)), demo.records(world)
    _read_new(world)
    # Suspended, or the operator would put etcd's replicas back.
    patch(world, f"kcl/{CLUSTER}", {"suspend": True})
    until(lambda: _observed(world), what="the operator saw spec.suspend", timeout_s=30)
    _scale(world, 0)
    until(lambda: not _etcd_pods(world), what="etcd's pod is gone", timeout_s=60)
    rounds, slowest_s = _use(world, before)
    refused = _refused(world)
    patch(world, f"kcl/{CLUSTER}", {"suspend": False})
    started = time.monotonic()
    settled(world, f"kcl/{CLUSTER}", timeout_s=90)
    ready_s = time.monotonic() - started
    until(lambda: _made(world), what="a topic can be made again", timeout_s=60)
    made_s = time.monotonic() - started
    until(lambda: _oldest_s(world) < 5, what="every broker follows etcd", timeout_s=60)
    followed_s = time.monotonic() - started
    if demo.lives(demo.pods(world)) != before:
        raise AssertionError(f"pods were {before}, are {demo.lives(demo.pods(world))}")
    kept = [record for record in demo.records(world) if " away " not in record]
    if kept != data:
        raise AssertionError(f"{len(kept)} records are there, {len(data)} were")
    world.headrace(demo.outside(world), "topic", "delete", "made-after", "--yes")
    return (
        f"{AWAY_S:.0f} s without etcd: {rounds} rounds of {LINES_A_ROUND} records written, read"
        f" and committed, the slowest in {slowest_s:.1f} s; a new topic meanwhile:"
        f' "{refused}"; no pod restarted or turned unready; Ready {ready_s:.1f} s, topics made'
        f" {made_s:.1f} s, every broker up to date {followed_s:.1f} s after etcd was let come back"
    )


STEPS = [Step(name="etcd is stopped", does=_away, limit_s=AWAY_S + 300)]


def _use(world: World, before: dict[str, tuple[str, int, bool]]) -> tuple[int, float]:
    """Writes, reads and commits until the time is over: how many rounds, seconds of the slowest."""
    ends = time.monotonic() + AWAY_S
    rounds, slowest_s = 0, 0.0
    while time.monotonic() < ends:
        began = time.monotonic()
        lines = [f"away {rounds} {number}" for number in range(LINES_A_ROUND)]
        demo.produce(world, lines)
        got = _read_new(world)
        if sorted(got) != sorted(lines):
            raise AssertionError(f"round {rounds}: {len(got)} records came, {got[:3]}...")
        slowest_s = max(slowest_s, time.monotonic() - began)
        now = demo.lives(demo.pods(world))
        if now != before:
            raise AssertionError(f"in round {rounds} pods are {now}, were {before}")
        rounds += 1
    return rounds, slowest_s


def _read_new(world: World) -> list[str]:
    """What the group has not read yet; it commits what it read."""
    flags = ["--group", GROUP, "--no-follow"]
    return world.headrace(demo.outside(world), "consume", TOPIC, *flags).splitlines()


def _refused(world: World) -> str:
    """What a user is told who makes a topic now."""
    said = demo.refused(
        lambda: world.headrace(demo.outside(world), "topic", "create", "made-meanwhile")
    )
    return said.strip().splitlines()[-1]


def _made(world: World) -> bool:
    try:
        world.headrace(demo.outside(world), "topic", "create", "made-after")
    except RigFailed as fault:
        return "exists" in str(fault)  # An earlier try whose answer was lost.
    return True


def _oldest_s(world: World) -> float:
    """How old the metadata of the broker that is furthest behind is."""
    ages = []
    for pod in demo.pods(world):
        path = f"/api/v1/namespaces/default/pods/{pod}:9404/proxy/status"
        ages.append(json.loads(world.kubectl("get", "--raw", path))["metadata_age_seconds"])
    return float(max(ages))


def _observed(world: World) -> bool:
    cluster = world.get(f"kcl/{CLUSTER}")
    return bool(cluster["status"]["observedGeneration"] == cluster["metadata"]["generation"])


def _scale(world: World, replicas: int) -> None:
    world.kubectl("scale", f"statefulset/{ETCD}", f"--replicas={replicas}")


def _etcd_pods(world: World) -> bool:
    return bool(demo.pods(world, "headrace.io/cluster=demo,app.kubernetes.io/component=etcd"))
