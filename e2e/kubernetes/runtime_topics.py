"""Checks of Topics and Quotas: a real API server, the real operator, and a real broker."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace_operator.access import configuration
from headrace_operator.kube import Kube

from e2e.kafka.headrace import Headrace
from e2e.kubernetes.runtime_world import API, LEASE, TOPICS, CheckFailed, Operator, World, until
from tests.kube_contract import CLAUSES, a_topic

CLUSTERS = f"{API}/namespaces/default/clusters"
MANY = 1_000
CREATED_S_MAX = 30.0
STARTED_S_MAX = 15.0
CHANGES = 200
P50_S_MAX = 0.5
P99_S_MAX = 1.0


def memory_contract(w: World) -> str:
    """The API server does what the tests' resources in memory do."""

    async def play() -> None:
        kube = Kube(await configuration(w.api.kubeconfig))
        try:
            for number, clause in enumerate(CLAUSES):
                await clause(kube, await kube.create(a_topic(f"clause-{number}")))
        finally:
            await kube.close()

    asyncio.run(play())
    return f"{len(CLAUSES)} clauses hold"


def topics_created(w: World) -> str:
    """1,000 Topics created while the operator runs, from the first request to the last Ready."""
    with _broker() as broker:
        operator = _start(w, broker)
        until("it leads", lambda: operator.leads, 20)
        began = time.monotonic()
        w.create_topics(MANY)
        asked = time.monotonic() - began
        until("all are Ready", lambda: operator.ready_topics() == MANY, 120)
        took = time.monotonic() - began
        measured = (
            f"{MANY} Topics Ready {took:.1f} s after the first request ({asked:.1f} s asking)"
        )
        if took > CREATED_S_MAX:
            raise CheckFailed(measured)
        return f"{measured}; {_changes(w)}; {operator.peak_mb():.0f} MB"


def topics_found(w: World) -> str:
    """1,000 Topics there, the operator started."""
    w.create_topics(MANY)
    with _broker() as broker:
        began = time.monotonic()
        operator = _start(w, broker)
        until("all are Ready", lambda: operator.ready_topics() == MANY, 120)
        took = time.monotonic() - began
    measured = f"{MANY} Topics Ready {took:.1f} s after the start, {operator.peak_mb():.0f} MB"
    if took > STARTED_S_MAX:
        raise CheckFailed(measured)
    return measured


def _changes(w: World) -> str:
    """One Topic changed at a time: from the API's answer until its status says Ready of it."""
    times = []
    for number in range(CHANGES):
        name = f"t{number}"
        generation = w.change_topic(name)
        answered = time.monotonic()
        times.append(until(f"{name} is Ready", _is_ready(w, name, generation), 10))
        times[-1] = time.monotonic() - answered
    times.sort()
    p50, p99 = times[CHANGES // 2], times[CHANGES * 99 // 100]
    measured = f"one changed p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms"
    if p50 > P50_S_MAX or p99 > P99_S_MAX:
        raise CheckFailed(measured)
    return measured


def _is_ready(w: World, name: str, generation: int) -> Callable[[], bool]:
    def ready() -> bool:
        conditions = w.ask("GET", f"{TOPICS}/{name}").get("status", {}).get("conditions", [])
        found: dict[str, Any] = {c["type"]: c for c in conditions}.get("Ready", {})
        current = found.get("observedGeneration") == generation
        return current and found.get("status") == "True"

    return ready


@contextmanager
def _broker() -> Iterator[Headrace]:
    with tempfile.TemporaryDirectory() as folder:
        broker = Headrace(Path(folder) / "data", settings={"offsets.topic.num.partitions": "1"})
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()  # how it stops is measured elsewhere


def _start(w: World, broker: Headrace) -> Operator:
    """The operator, and Cluster default/c for its Topics."""
    storage = {"size": "1Gi"}
    pool = {"name": "a", "replicas": 1, "storage": storage}
    w.api.request(
        "POST",
        CLUSTERS,
        {
            "apiVersion": "headrace.io/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": "c"},
            "spec": {"version": "0.1.0", "pools": [pool]},
        },
    )
    w.api.request(
        "POST", LEASE.rpartition("/")[0], {"metadata": {"name": LEASE.rpartition("/")[2]}}
    )
    return w.operator(f"--broker-port={broker.kafka_port}", module="e2e.kubernetes.topics_operator")
