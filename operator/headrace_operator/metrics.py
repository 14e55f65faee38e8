"""What the operator says about itself, in Prometheus' text format."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from headrace_operator.kinds import Kind, Object
from headrace_operator.queue import Queue
from headrace_operator.store import Store
from headrace_operator.watched import OURS

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """Counters that live as long as the process, and gauges that are read when asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconciles = Counter(
            "headrace_operator_reconciles",
            "Passes over a resource by outcome: done, refused, unreachable, conflict, failed.",
            ["kind", "outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "headrace_operator_reconcile_seconds",
            "How long a pass took.",
            ["kind"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._missed = Counter(
            "headrace_operator_missed_events",
            "Changes that a sweep found and no watch event had told.",
            registry=self._registry,
        )
        self._sweeps = Counter(
            "headrace_operator_sweeps",
            "Complete LISTs of everything that is watched.",
            registry=self._registry,
        )
        self._leader = self._gauge("leader", "1 in the active operator.")
        self._waiting = self._gauge("queue_waiting", "Keys that wait for a worker.")
        self._running = self._gauge("queue_running", "Keys that are worked on.")
        self._wait = self._gauge("queue_longest_wait_seconds", "Of the keys that wait.")
        self._run = self._gauge("queue_longest_run_seconds", "Of the keys that are worked on.")
        self._resources = Gauge(
            "headrace_operator_resources",
            "Resources by kind and state: Ready, Reconciling, Stalled or Unknown.",
            ["kind", "state"],
            registry=self._registry,
        )

    def reconciled(self, kind: Kind, outcome: str, seconds: float) -> None:
        self._reconciles.labels(kind.name, outcome).inc()
        self._seconds.labels(kind.name).observe(seconds)

    def swept(self, missed: int) -> None:
        self._sweeps.inc()
        self._missed.inc(missed)

    def render(self, store: Store, queue: Queue, *, leading: bool) -> bytes:
        """The page."""
        self._leader.set(int(leading))
        self._waiting.set(queue.waiting)
        self._running.set(queue.running)
        self._wait.set(queue.longest_wait_seconds())
        self._run.set(queue.longest_run_seconds())
        self._resources.clear()
        for kind in OURS:
            for state in ("Ready", "Reconciling", "Stalled", "Unknown"):
                self._resources.labels(kind.name, state).set(0)
            for obj in store.all(kind):
                self._resources.labels(kind.name, _state(obj)).inc()
        return generate_latest(self._registry)

    def _gauge(self, name: str, doc: str) -> Gauge:
        return Gauge(f"headrace_operator_{name}", doc, registry=self._registry)


def _state(obj: Object) -> str:
    status = obj.get("status") or {}
    if status.get("observedGeneration") != obj["metadata"].get("generation"):
        return "Unknown"
    true = {c["type"] for c in status.get("conditions") or [] if c["status"] == "True"}
    return next((name for name in ("Stalled", "Reconciling", "Ready") if name in true), "Unknown")
