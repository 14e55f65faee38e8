"""What a broker does on its own: retention, checkpoints, forgetting idle producers.

Each round walks the partitions in slices of 2 ms, so that it is never felt (decision 2).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from headrace.base.clock import Clock
from headrace.config.broker import BrokerSettings
from headrace.server import crash
from headrace.server.flusher import Flusher
from headrace.server.partition import Partition
from headrace.server.partitions import Partitions
from headrace.storage.disk import DiskFault, DiskFull

log = structlog.get_logger("headrace.log")

_SLICE_S = 0.002
_PRODUCERS_EVERY_S = 600.0
_SOON_S = 0.5


class Housekeeping:
    """Periodic tasks over all partitions."""

    def __init__(
        self,
        partitions: Partitions,
        flusher: Flusher,
        clock: Clock,
        settings: Callable[[], BrokerSettings],
    ) -> None:
        self._partitions = partitions
        self._flusher = flusher
        self._clock = clock
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[object]] = []
        self._checkpointing = asyncio.Lock()
        self._soon: asyncio.TimerHandle | None = None

    def start(self) -> None:
        settings = self._settings()
        retention_s = settings.log_retention_check_interval_ms / 1000
        checkpoint_s = settings.log_flush_offset_checkpoint_interval_ms / 1000
        for every_s, work in (
            (retention_s, self._retention),
            (checkpoint_s, self.checkpoint),
            (_PRODUCERS_EVERY_S, self._producers),
        ):
            self._spawn(self._repeat(every_s, work))

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = self._loop.create_task(work)
        task.add_done_callback(crash.on_bug)
        self._tasks.append(task)

    async def _repeat(self, every_s: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(every_s)
            await work()

    async def _each(self, work: Callable[[Partition], None]) -> None:
        began = self._loop.time()
        for partition in tuple(self._partitions):
            if partition.failure is not None:
                continue
            try:
                work(partition)
            except DiskFull as full:
                partition.not_written(full)
            except DiskFault as fault:
                partition.fail(str(fault))
            if self._loop.time() - began > _SLICE_S:
                await asyncio.sleep(0)
                began = self._loop.time()

    async def _retention(self) -> None:
        """Roll segments that are old enough, retire those nobody keeps, remove the retired."""
        now_ms = self._clock.wall_ms()
        await self._each(lambda partition: self._retire(partition, now_ms))

    def _retire(self, partition: Partition, now_ms: int) -> None:
        retired = partition.log.retire_segments(now_ms, high_watermark=partition.high_watermark)
        if retired:
            log.info("segments retired", partition=partition.name, segments=len(retired))
            self.remove_later(partition, retired)

    def remove_later(self, partition: Partition, retired: list[str]) -> None:
        """Remove renamed segment files once readers have had file.delete.delay.ms."""
        delay_s = partition.log.settings.file_delete_delay_ms / 1000
        self._loop.call_later(delay_s, self._remove, partition, retired)

    def _remove(self, partition: Partition, retired: list[str]) -> None:
        """In a thread: a file system takes its time to free a gigabyte."""

        def remove() -> None:
            for path in retired:
                partition.log.disk.remove(path)

        def finished(done: asyncio.Future[None]) -> None:
            fault = done.exception()
            if isinstance(fault, DiskFault):
                partition.fail(str(fault))
            elif fault is not None:
                raise fault

        self._loop.run_in_executor(None, remove).add_done_callback(finished)

    def checkpoint_soon(self) -> None:
        """A recovery point moved far: write it down before a crash can ask for it."""
        if self._soon is None:
            self._soon = self._loop.call_later(_SOON_S, self._checkpoint_now)

    def _checkpoint_now(self) -> None:
        self._soon = None
        self._spawn(self.checkpoint())

    async def checkpoint(self) -> bool:
        """Write down now where recovery may begin and where each log starts; False if not."""
        self._tasks = [task for task in self._tasks if not task.done()]
        try:
            async with self._checkpointing:
                write = self._partitions.checkpoint()
                await self._loop.run_in_executor(None, write)
        except DiskFull as full:
            log.error("the checkpoints could not be written", fault=str(full))
            return False
        except DiskFault as fault:
            self._flusher.fault(f"checkpoints: {fault}")
            return False
        return True

    async def _producers(self) -> None:
        now_ms = self._clock.wall_ms()
        expiration_ms = self._settings().producer_id_expiration_ms

        def expire(partition: Partition) -> None:
            partition.producers.expire(now_ms, expiration_ms)

        await self._each(expire)

    async def close(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
        async with self._checkpointing:  # A thread that writes checkpoints is waited for.
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
