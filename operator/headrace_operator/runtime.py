"""The operator as a process: what is built once, what runs beside what, and in which order it ends.

Active and standby differ in one thing: only the active one works on its queue. Both watch and
sweep, so a standby that takes over has everything in memory. On SIGTERM work ends first, then the
Lease is released, then the rest; whatever else ends, ends the process.
"""

import asyncio
import signal
import time
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import structlog
from kubernetes.aio.client.configuration import Configuration

from headrace_operator.admin import Admin
from headrace_operator.clock import SystemClock
from headrace_operator.context import Context, Reconcile
from headrace_operator.elector import EXIT_LEASE_LOST, Elector
from headrace_operator.errors import Conflict, KubeError, LeaseLost, Refused, Unreachable
from headrace_operator.events import Events
from headrace_operator.feed import Feed
from headrace_operator.health import HttpEndpoint, Vital
from headrace_operator.kinds import Key, Kind
from headrace_operator.kube import Kube
from headrace_operator.lease import REQUEST_TIMEOUT_SECONDS, RETRY_MS
from headrace_operator.metrics import Metrics
from headrace_operator.queue import Queue
from headrace_operator.settings import Settings
from headrace_operator.store import Store
from headrace_operator.watch import watch
from headrace_operator.watched import lane_of, watched

EXIT_FAILED: Final = 1

_LOG = structlog.get_logger("headrace.operator")


class Runtime:
    """One operator process. `reconcilers` is what it does, by kind."""

    def __init__(
        self,
        settings: Settings,
        access: Configuration,
        reconcilers: Mapping[Kind, Reconcile],
        admin: Admin,
    ) -> None:
        self._settings = settings
        self._access = access
        self._reconcilers = reconcilers
        self._clock = SystemClock()
        self._lease_kube = Kube(access, timeout_seconds=REQUEST_TIMEOUT_SECONDS)
        self._elector = Elector(
            self._lease_kube,
            self._clock,
            identity=settings.identity,
            namespace=settings.operator_namespace,
            name=settings.lease_name,
        )
        self._kube = Kube(access, guard=self._elector.guard)
        self._kinds = watched(settings)
        self._store = Store({each.kind: each.owners for each in self._kinds})
        self._queue = Queue(
            clock=self._clock,
            jitter=Random().random,
            lane_of=lambda key: lane_of(self._store, key),
            workers=settings.workers,
            lane_workers=settings.lane_workers,
        )
        self._metrics = Metrics()
        self._feed = Feed(self._kube, self._store, self._queue, self._metrics, settings)
        self._context = Context(
            kube=self._kube,
            store=self._store,
            queue=self._queue,
            settings=settings,
            clock=self._clock,
            events=Events(self._kube, self._clock, reporter=settings.identity),
            admin=admin,
        )
        self._swept_ms: int | None = None
        self._pictured = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal or a failure; returns the exit code."""
        self._catch_signals()
        endpoint = HttpEndpoint(self._vital, self._render_metrics)
        await endpoint.open("", self._settings.http_port)
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        act = asyncio.create_task(self._act(), name="act")
        picture = asyncio.create_task(self._keep_picture(), name="picture")
        try:
            done, _ = await asyncio.wait({stop, act, picture}, return_when=asyncio.FIRST_COMPLETED)
            return _exit_code(done - {stop})
        finally:
            await _end(stop, act)
            await self._elector.release()
            await _end(picture)
            await endpoint.close()
            await self._kube.close()
            await self._lease_kube.close()

    async def _keep_picture(self) -> None:
        """Sweep again and again; watch from the first sweep on. kopf gives up where the API
        server is away at its start, so until then we ask."""
        started = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep_for_ever())
            group.create_task(self._take_signals_back(started))
            await self._pictured.wait()
            await watch(self._settings, self._kinds, self._feed.heard, self._access, started)
            self._stopping.set()

    async def _sweep_for_ever(self) -> None:
        while True:
            swept = await self._swept()
            await asyncio.sleep(self._settings.sweep_seconds if swept else RETRY_MS / 1000)

    async def _swept(self) -> bool:
        try:
            await self._feed.sweep()
        except KubeError as failed:
            _LOG.warning("sweep_failed", error=str(failed))
            return False
        self._swept_ms = self._clock.monotonic_ms()
        self._pictured.set()
        return True

    async def _act(self) -> None:
        """Become the active one, and work until the Lease or a worker is lost."""
        await self._pictured.wait()
        await self._elector.acquire()
        self._feed.activate()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._elector.keep())
            group.create_task(self._queue.run(self._work))

    async def _work(self, key: Key) -> float | None:
        began = time.monotonic()
        outcome = "done"
        try:
            async with asyncio.timeout(self._settings.reconcile_timeout_seconds):
                return await self._reconcilers[key.kind](self._context, key)
        except Conflict as raced:
            outcome = "conflict"
            _LOG.info("pass_raced", key=str(key), error=str(raced))
            raise
        except (Unreachable, TimeoutError) as failed:
            outcome = "unreachable"
            _LOG.warning("pass_unreachable", key=str(key), error=str(failed) or "took too long")
            raise
        except Refused as refused:
            outcome = "refused"
            _LOG.warning("pass_refused", key=str(key), error=str(refused))
            raise
        except Exception:
            outcome = "failed"
            _LOG.exception("pass_failed", key=str(key))
            raise
        finally:
            self._metrics.reconciled(key.kind, outcome, time.monotonic() - began)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    async def _take_signals_back(self, started: asyncio.Event) -> None:
        """kopf.operator installs handlers of its own, which would end it before our work."""
        await started.wait()
        self._catch_signals()

    def _vital(self) -> Vital:
        swept_ago = None
        if self._swept_ms is not None:
            swept_ago = (self._clock.monotonic_ms() - self._swept_ms) / 1000
        return Vital(
            swept_ago=swept_ago,
            sweep_every=self._settings.sweep_seconds,
            deaf_sweeps=self._feed.deaf_sweeps,
            longest_run=self._queue.longest_run_seconds(),
            longest_wait=self._queue.longest_wait_seconds() if self._feed.active else 0.0,
            workers_free=self._queue.running < self._settings.workers,
        )

    def _render_metrics(self) -> bytes:
        return self._metrics.render(self._store, self._queue, leading=self._elector.acting)


def _exit_code(done: set["asyncio.Task[Any]"]) -> int:
    """0 after a signal, else what the first failure means. Bugs of ours are raised."""
    for task in done:
        failure = task.exception()
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        if isinstance(failure, LeaseLost):
            _LOG.error("lease_lost", error=str(failure))
            return EXIT_LEASE_LOST
        if failure is not None and not isinstance(failure, Exception):
            raise failure
        if failure is not None:
            _LOG.error("operator_failed", task=task.get_name(), exc_info=failure)
            return EXIT_FAILED
    return 0


async def _end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
