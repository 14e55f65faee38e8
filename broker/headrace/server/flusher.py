"""Group commit, interval flushes and recovery checkpoints: everything that syncs a log.

One flush job is in flight at a time, in a thread (fdatasync releases the GIL for its whole
length). Whatever arrives meanwhile rides the next one, so the cost of a sync is shared by all
that wait for it. Three reasons make a log due:
- durability=ack: at once, somebody waits for it;
- durability=interval: at the latest `durability.interval.ms` after the first unsynced byte;
- any mode: `log.recovery.bytes.max` unsynced bytes, which bounds recovery after a crash.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from headrace.base.errors import Refusal
from headrace.config.topic import LogSettings
from headrace.storage.disk import DiskFault, DiskFull, NoDescriptor
from headrace.storage.flush import Flush
from headrace.storage.log import Log

_AGAIN_S = 1.0
"""After a sync for which there was no descriptor."""


class Flushable(Protocol):
    """What the flusher needs of a partition."""

    log: Log
    durable: bool
    failure: str | None
    unsynced_bytes: int
    """Since the last checkpoint."""

    @property
    def name(self) -> str: ...

    def flushed(self, offset: int) -> None: ...

    def fail(self, why: str) -> Refusal: ...


class Flusher:
    """Owned by the event loop; only `_run` is executed elsewhere."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        recovery_bytes_max: int,
        on_disk_fault: Callable[[str], None],
        on_checkpoint: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._recovery_bytes_max = recovery_bytes_max
        self._on_disk_fault = on_disk_fault
        self._on_checkpoint = on_checkpoint
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="flush")
        self._due: dict[Flushable, bool] = {}
        self._timers: dict[Flushable, asyncio.TimerHandle] = {}
        self._scheduled = False
        self._running = False
        self.flushes = 0
        self.flush_seconds = 0.0

    def soon(self, partition: Flushable, *, checkpoint: bool = False) -> None:
        """Sync this log with the next job; the rest of this turn of the loop still gets on it.

        A checkpoint also writes indexes and snapshots, so that recovery may begin there.
        """
        self._due[partition] = checkpoint or self._due.get(partition, False)
        if not self._running and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._start)

    def sync_at_bytes(self, settings: LogSettings) -> int:
        """From how many unsynced bytes on a partition must call `due` after an append."""
        return 1 if settings.durability == "interval" else self._recovery_bytes_max

    def due(self, partition: Flushable) -> None:
        """The log grew to what its durability or the recovery bound allow unsynced."""
        if partition.unsynced_bytes >= self._recovery_bytes_max:
            self.soon(partition, checkpoint=True)
        elif partition not in self._timers:
            self._timers[partition] = self._loop.call_later(
                partition.log.settings.durability_interval_ms / 1000,
                self._interval_over,
                partition,
            )

    def _interval_over(self, partition: Flushable, checkpoint: bool = False) -> None:
        self._timers.pop(partition, None)
        self.soon(partition, checkpoint=checkpoint)

    def _start(self) -> None:
        self._scheduled = False
        if self._running or not self._due:
            return
        jobs: list[tuple[Flushable, Flush]] = []
        due, self._due = self._due, {}
        for partition, checkpoint in due.items():
            if checkpoint:
                partition.unsynced_bytes = 0
            if partition.failure is not None:
                continue
            try:
                jobs.append((partition, partition.log.begin_flush(checkpoint=checkpoint)))
            except NoDescriptor:
                self._again(partition, checkpoint=checkpoint)
            except DiskFault as fault:
                partition.fail(str(fault))
        if not jobs:
            return
        self._running = True
        began = self._loop.time()
        future = self._loop.run_in_executor(self._thread, _run, [flush for _, flush in jobs])
        future.add_done_callback(lambda done: self._finish(done, jobs, began))

    def _finish(
        self,
        done: "asyncio.Future[list[Exception | None]]",
        jobs: list[tuple[Flushable, Flush]],
        began: float,
    ) -> None:
        self._running = False
        self.flushes += len(jobs)
        self.flush_seconds += self._loop.time() - began
        for (partition, flush), fault in zip(jobs, done.result(), strict=True):
            if isinstance(fault, NoDescriptor):
                partition.log.not_flushed(flush)
                self._again(partition, checkpoint=flush.checkpoint)
            elif fault is not None:
                partition.fail(str(fault))
            elif partition.failure is None:
                partition.log.flushed(flush)
                partition.flushed(flush.offset)
                if flush.checkpoint:
                    self._on_checkpoint()
        if self._due and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._start)

    def _again(self, partition: Flushable, *, checkpoint: bool) -> None:
        """Nothing was lost, only not yet synced, for want of a descriptor."""
        timer = self._timers.pop(partition, None)
        if timer is not None:
            timer.cancel()
        self._timers[partition] = self._loop.call_later(
            _AGAIN_S, self._interval_over, partition, checkpoint
        )

    def failed(self, partition: Flushable, why: str) -> None:
        """A sync or write failed: nothing is known about unsynced bytes. Never retried."""
        self.forget(partition)
        self.fault(f"{partition.name}: {why}")

    def fault(self, why: str) -> None:
        """The disk failed; one folder is all this broker has."""
        self._on_disk_fault(why)

    def forget(self, partition: Flushable) -> None:
        """The partition goes away."""
        self._due.pop(partition, None)
        timer = self._timers.pop(partition, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Wait for the job in flight; logs flush themselves when they are closed."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._thread.shutdown(wait=True)


def _run(flushes: list[Flush]) -> list[Exception | None]:
    faults: list[Exception | None] = []
    for flush in flushes:
        try:
            flush.run()
            faults.append(None)
        except (DiskFault, DiskFull) as fault:
            # A sync that finds no room leaves bytes behind that were accepted: a fault as well.
            faults.append(fault)
    return faults
