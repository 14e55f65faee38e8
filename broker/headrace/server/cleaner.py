"""Compaction from the broker's side: which log, when, and putting the result in its place.

One pass at a time, over the dirtiest log that wants it, in a niced child process (decision 2).
The broker itself only lists segments, renames files and keeps the checkpoint. A pass that fails
is tried again later and later; a log that cannot be compacted is left alone and said in metrics
and in the log, as its other partitions go on.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from headrace.base.clock import Clock
from headrace.config.broker import BrokerSettings
from headrace.server import crash
from headrace.server.cleaner_child import CleanerChild
from headrace.server.flusher import Flusher
from headrace.server.partition import Partition
from headrace.server.partitions import Partitions
from headrace.storage import cleaner_plan, cleaner_swap
from headrace.storage.checkpoint import CorruptCheckpoint
from headrace.storage.cleaner import Cleaned, CleanJob
from headrace.storage.cleaner_process import Ending
from headrace.storage.data_dir import DataDir
from headrace.storage.disk import Damaged, DiskFault, DiskFull, NoDescriptor

log = structlog.get_logger("headrace.cleaner")

_ATTEMPTS_MAX: Final = 5
"""Failures in a row after which a log counts as uncleanable until the broker restarts."""
_RETRY_S: Final = 15.0
_RETRY_S_MAX: Final = 600.0


class Cleaner:
    """Owned by the event loop. `start` it once the broker is ready, `close` it before the logs.

    For metrics: `uncleanable` (partition name to reason), `max_dirty_ratio` of the last look,
    `last_look_s` on the loop's clock, `passes`, `bytes_before` and `bytes_after`.
    """

    def __init__(
        self,
        partitions: Partitions,
        data_dir: DataDir,
        flusher: Flusher,
        clock: Clock,
        settings: Callable[[], BrokerSettings],
        remove_later: Callable[[Partition, list[str]], None],
    ) -> None:
        self._partitions = partitions
        self._data_dir = data_dir
        self._flusher = flusher
        self._clock = clock
        self._settings = settings
        self._remove_later = remove_later
        self._loop = asyncio.get_running_loop()
        self._child = CleanerChild()
        self._task: asyncio.Task[None] | None = None
        self._cleaned_to: dict[tuple[str, int], int] = {}
        self._failures: dict[Partition, tuple[int, float]] = {}
        self._topic_ids: dict[tuple[str, int], UUID | None] = {}
        self._left_alone: dict[str, tuple[UUID, str]] = {}
        self.max_dirty_ratio = 0.0
        self.last_look_s = 0.0
        self.passes = 0
        self.bytes_before = 0
        self.bytes_after = 0

    @property
    def uncleanable(self) -> dict[str, str]:
        """The partitions that are left alone, by name, and why."""
        return {name: why for name, (_, why) in self._left_alone.items()}

    def start(self) -> None:
        """Begin after log.initial.task.delay.ms."""
        try:
            self._cleaned_to = self._data_dir.cleaned_to()
        except CorruptCheckpoint as fault:
            log.warning("the cleaner's checkpoint is unreadable: logs are cleaned anew",
                        fault=str(fault))  # fmt: skip
        self._forget_deleted()  # what is held now is what the checkpoint is about
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(crash.on_bug)

    async def close(self) -> None:
        """Stop, also in the middle of a pass; its files are removed at the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._child.close()

    async def _run(self) -> None:
        await asyncio.sleep(self._settings().log_initial_task_delay_ms / 1000)
        while True:
            if not await self.clean_dirtiest():
                await asyncio.sleep(self._settings().log_cleaner_backoff_ms / 1000)

    async def clean_dirtiest(self) -> bool:
        """One pass over the log that needs it most; False where none needs one."""
        found = await self._dirtiest()
        if found is None:
            return False
        partition, plan = found
        producers = partition.producers.entries()
        job = cleaner_plan.job(
            partition.log,
            plan,
            last_offsets={entry.producer_id: entry.last_offset for entry in producers},
            now_ms=self._clock.wall_ms(),
            memory_bytes=self._settings().log_cleaner_dedupe_buffer_size,
        )
        began = self._loop.time()
        try:
            ending = await self._pass(partition, job)
        except DiskFull as full:
            ending = Ending("full", str(full))
        except OSError as error:  # The child could not be started, or the folder went away.
            ending = Ending("failed", str(error))
        except DiskFault as fault:
            partition.fail(str(fault))
            return True
        self._settle(partition, ending, self._loop.time() - began)
        return True

    async def _dirtiest(self) -> tuple[Partition, cleaner_plan.Plan] | None:
        now_ms = self._clock.wall_ms()
        best: tuple[Partition, cleaner_plan.Plan] | None = None
        greatest = 0.0
        self._forget_deleted()
        for partition in tuple(self._partitions):
            if "compact" not in partition.log.settings.cleanup_policy:
                continue
            if partition.failure is not None or partition.name in self._left_alone:
                continue
            await asyncio.sleep(0)
            try:
                plan = self._plan(partition, now_ms)
            except FileNotFoundError:
                continue  # Its topic was deleted since.
            except NoDescriptor:
                continue  # There may be one the next time.
            except Damaged as damage:
                self._leave_alone(partition, str(damage))
                continue
            except DiskFault as fault:
                partition.fail(str(fault))
                continue
            if plan is None:
                continue
            greatest = max(greatest, plan.dirty_ratio)
            if (
                cleaner_plan.wanted(partition.log, plan)
                and self._failures.get(partition, (0, 0.0))[1] <= self._loop.time()
                and (best is None or plan.dirty_ratio > best[1].dirty_ratio)
            ):
                best = partition, plan
        self.max_dirty_ratio, self.last_look_s = greatest, self._loop.time()
        return best

    def _forget_deleted(self) -> None:
        """A new topic of an old name begins anew."""
        held = {(p.topic, p.index): p.topic_id for p in self._partitions}
        for key in [*self._cleaned_to]:
            known = self._topic_ids.setdefault(key, held.get(key))
            if key not in held or held[key] != known:
                del self._cleaned_to[key], self._topic_ids[key]
        names = {partition.name: partition for partition in self._partitions}
        for name, (topic_id, _) in [*self._left_alone.items()]:
            if name not in names or names[name].topic_id != topic_id:
                del self._left_alone[name]

    def _plan(self, partition: Partition, now_ms: int) -> cleaner_plan.Plan | None:
        opened = partition.log
        if len(opened.segments) > 1 and opened.recovery_point < opened.active.base_offset:
            # Only what is durable is cleaned; a later look finds it so.
            self._flusher.soon(partition, checkpoint=True)
        return cleaner_plan.plan(
            opened,
            self._cleaned_to.get((partition.topic, partition.index)),
            last_stable_offset=partition.last_stable_offset,
            now_ms=now_ms,
        )

    async def _pass(self, partition: Partition, job: CleanJob) -> Ending:
        """Run the child; swap in what it finishes. Returns how it ended and why."""
        cleaned_to: int | None = None

        def swap_in(cleaned: Cleaned) -> bool:
            nonlocal cleaned_to
            if not self._swap(partition, cleaned):
                return False
            cleaned_to = cleaned.end_offset
            return True

        rate = self._settings().log_cleaner_io_max_bytes_per_second
        ending = await self._child.clean(job, rate, swap_in)
        if ending.how == "done" and cleaned_to is not None:
            self._checkpoint(partition, cleaned_to)
        return ending

    def _swap(self, partition: Partition, cleaned: Cleaned) -> bool:
        if partition.failure is not None:
            return False
        deleted = cleaner_swap.swap_in(partition.log, cleaned.base_offset, cleaned.replaces)
        if deleted is None:
            return False
        self._remove_later(partition, deleted)
        self.bytes_before += cleaned.bytes_before
        self.bytes_after += cleaned.bytes_after
        return True

    def _checkpoint(self, partition: Partition, offset: int) -> None:
        self._forget_deleted()
        self._cleaned_to[partition.topic, partition.index] = offset
        self._topic_ids[partition.topic, partition.index] = partition.topic_id
        self._data_dir.write_cleaned_to(self._cleaned_to)

    def _settle(self, partition: Partition, ending: Ending, seconds: float) -> None:
        """Note how a pass went; failures wait twice as long each time."""
        ended, why = ending
        if ended == "done":
            self._failures.pop(partition, None)
            self.passes += 1
            log.info("log compacted", partition=partition.name, seconds=round(seconds, 3))
            return
        if partition.failure is not None:
            self._failures.pop(partition, None)  # deleted or failed meanwhile
            return
        cleaner_swap.discard_cleaned(partition.log.disk, partition.log.path)
        attempts = self._failures.get(partition, (0, 0.0))[0] + (ended != "full")
        wait_s = min(_RETRY_S * 2 ** max(attempts - 1, 0), _RETRY_S_MAX)
        self._failures[partition] = attempts, self._loop.time() + wait_s
        if ended == "uncleanable" or attempts >= _ATTEMPTS_MAX:
            self._leave_alone(partition, why)
        else:
            log.warning("compaction will be tried again", partition=partition.name,
                        ended=ended, why=why, seconds=wait_s)  # fmt: skip

    def _leave_alone(self, partition: Partition, why: str) -> None:
        self._left_alone[partition.name] = partition.topic_id, why
        log.error("log cannot be compacted and is left alone until a restart",
                  partition=partition.name, why=why)  # fmt: skip
