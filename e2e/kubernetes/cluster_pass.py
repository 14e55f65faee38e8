"""The operator's own pass over a Cluster, against a real API server without nodes."""

from random import Random
from typing import Any, Final

from headrace_operator.clock import SystemClock
from headrace_operator.context import Context
from headrace_operator.events import Events
from headrace_operator.kinds import CLUSTER, Key
from headrace_operator.kube import Kube
from headrace_operator.queue import Queue
from headrace_operator.reconcile_cluster import reconcile
from headrace_operator.settings import Settings
from headrace_operator.store import Store
from headrace_operator.watched import watched

NAMESPACE: Final = "kafka"
PASSES_MAX: Final = 12


class CountingKube(Kube):
    """Counts what it writes."""

    writes = 0

    async def _request(self, method: str, path: str, **more: Any) -> Any:
        if method != "GET":
            CountingKube.writes += 1
        return await super()._request(method, path, **more)


class NoBrokers:
    """The way to brokers that never answer: no pod runs here, so nothing may be asked."""

    def forget(self, namespace: str, name: str) -> None:
        """Nothing is connected."""


async def swept(kube: Kube, settings: Settings, store: Store) -> None:
    """The store as the operator's sweep fills it."""
    for each in watched(settings):
        listing = await kube.list_all(each.kind, labels=each.labels)
        sweep = store.sweep(each.kind)
        sweep.take(listing.items)
        sweep.finish(int(listing.resource_version))


async def quiet(context: Context, cluster: str) -> int:
    """Pass after pass until one writes nothing: how many did, -1 where it has no end."""
    for passes in range(PASSES_MAX):
        if not await wrote(context, cluster):
            return passes
    return -1


async def wrote(context: Context, cluster: str) -> bool:
    """One pass; whether it wrote anything."""
    await swept(context.kube, context.settings, context.store)
    before = CountingKube.writes
    await reconcile(context, Key(CLUSTER, NAMESPACE, cluster))
    return CountingKube.writes > before


def context_of(kube: Kube) -> Context:
    settings = Settings()
    clock = SystemClock()
    return Context(
        kube=kube,
        store=Store({each.kind: each.owners for each in watched(settings)}),
        queue=Queue(clock=clock, jitter=Random(0).random, lane_of=str, workers=1, lane_workers=1),
        settings=settings,
        clock=clock,
        events=Events(kube, clock, reporter="checks"),
        admin=NoBrokers(),
    )
