"""A seeded workload on one partition's log, and what a crash at any moment must leave of it.

The world runs the production storage code over a simulated disk in the order in which the
broker's shell does, and keeps beside it what was promised: which batches were appended, up to
where they are durable, what was acknowledged as deleted.
"""

import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.sim.bugs import Planted, plant_on_disk
from headrace.sim.disk import SimDisk
from headrace.storage import cleaner_plan, cleaner_swap
from headrace.storage.cleaner import clean
from headrace.storage.data_dir import DataDir
from headrace.storage.disk import DiskFull
from headrace.storage.log import Log
from headrace.wire.batch import BatchHeader, read_batch_header
from headrace.wire.records import NewRecord, build_batch

TOPIC, INDEX = "t", 0
_TOPIC_ID = UUID(int=7)
_DIRECTORY_ID = UUID(int=8)
_KEY = (TOPIC, INDEX)

_SETTINGS = LogSettings(
    segment_bytes=2500, index_interval_bytes=400, delete_retention_ms=10**9, retention_ms=-1
)

_WEIGHTS = {
    "append": 60,
    "sync": 12,
    "checkpoint": 8,
    "delete_records": 4,
    "roll": 4,
    "retire": 4,
    "new_epoch": 3,
    "restart": 4,
    "kill": 3,
    "full_disk": 3,
    "compact": 0,
}


@dataclass(slots=True)  # mutable: it is what has been promised so far
class Promises:
    """What a reopened log is held to.

    Batches before `in_log` were appended; one more may be under way. `durable_end` bounds what
    a power cut may take; `deleted_before` was acknowledged as deleted, `start_most` is the
    farthest that a log start can have come.
    """

    headers: list[BatchHeader] = field(default_factory=list)
    batches: list[bytes] = field(default_factory=list)
    in_log: int = 0
    durable_end: int = 0
    deleted_before: int = 0
    start_most: int = 0

    @property
    def end_offset(self) -> int:
        """The end of what was appended."""
        return self.headers[self.in_log - 1].next_offset if self.in_log else 0


class Opened:
    """A partition that was opened as the broker opens it."""

    def __init__(
        self, disk: SimDisk, settings: LogSettings, now_ms: int, bug: Planted | None = None
    ) -> None:
        self.data_dir = DataDir.open(disk, "/data", node_id=1, new_id=lambda: _DIRECTORY_ID)
        self.data_dir.claim("cluster")
        self.producers = Producers()
        self.was_clean = self.data_dir.was_clean
        self.log = Log.open(
            disk,
            self.data_dir.partition_path(TOPIC, INDEX, _TOPIC_ID),
            settings,
            self.producers,
            clean=self.was_clean,
            recovery_point=self.data_dir.recovery_point(TOPIC, INDEX),
            log_start_offset=self.data_dir.log_start_offset(TOPIC, INDEX),
            now_ms=now_ms,
        )
        if bug is not Planted.CLEAN_MARKER_LEFT:
            self.data_dir.mark_running()

    def checkpoint(self, recovery_point: int | None = None) -> None:
        """Write the two checkpoint files, as the broker does now and then."""
        point = self.log.recovery_point if recovery_point is None else recovery_point
        self.data_dir.write_checkpoints({_KEY: point}, {_KEY: self.log.log_start_offset})

    def close(self) -> None:
        """A clean stop."""
        self.log.close()
        self.checkpoint()
        self.data_dir.mark_clean()
        self.data_dir.close()


class World:
    """Call `step` again and again; `opened` and `disk` are the running broker's."""

    def __init__(self, seed: int, durability: str, *, compacted: bool, bug: Planted | None) -> None:
        self.rng = random.Random(seed)
        self.compacted = compacted
        self.settings = replace(
            _SETTINGS,
            durability=durability,
            cleanup_policy=("compact",) if compacted else ("delete",),
            retention_bytes=-1 if compacted else 12_000,
            min_cleanable_dirty_ratio=0.01,
        )
        self.bug = bug
        self.promises = Promises()
        self.disk = SimDisk()
        plant_on_disk(self.disk, bug)
        self.now_ms = 1_000_000
        self._epoch = 0
        self._sequences = [0, 0, 0]
        self._cleaned_to: int | None = None
        self._weights = dict(_WEIGHTS)
        if compacted:
            self._weights |= {"compact": 10, "delete_records": 0, "checkpoint": 12}
        self._weights["sync"] = {"never": 0, "interval": 12, "ack": 40}[durability]
        self.opened = self._open()
        if compacted:
            # Recovery without a recovery point cannot tell a hole from Kafka's compaction.
            self._append()
            self._flush(checkpoint=True)
            self.opened.checkpoint()

    def _open(self) -> Opened:
        return Opened(self.disk, self.settings, self.now_ms, self.bug)

    def step(self) -> str:
        """Do one thing; returns its name."""
        self.now_ms += self.rng.randrange(1000)
        self.disk.now_ms = self.now_ms
        name = self.rng.choices(list(self._weights), list(self._weights.values()))[0]
        getattr(self, f"_{name}")()
        return name

    def _append(self) -> None:
        promises, log = self.promises, self.opened.log
        batch = self._batch(log.log_end_offset)
        header = read_batch_header(batch, 0)
        promises.headers.append(header)
        promises.batches.append(bytes(batch))
        log.append(
            batch,
            last_offset=header.last_offset,
            max_timestamp=header.max_timestamp,
            leader_epoch=self._epoch,
            now_ms=self.now_ms,
        )
        if header.producer_id >= 0:
            self.opened.producers.observe(header)
        promises.in_log += 1
        if self.bug is Planted.EARLY_ACKNOWLEDGEMENT:
            promises.durable_end = promises.end_offset

    def _batch(self, base_offset: int) -> bytearray:
        rng = self.rng
        count = rng.randrange(1, 4)
        records = []
        for _ in range(count):
            key = b"key-%d" % rng.randrange(6)
            value = None if rng.random() < 0.1 else rng.randbytes(rng.randrange(300))
            records.append(NewRecord(key, value, self.now_ms - rng.randrange(3000)))
        producer = rng.randrange(3)
        sequence = self._sequences[producer]
        self._sequences[producer] += count
        return build_batch(
            records,
            base_offset=base_offset,
            leader_epoch=self._epoch,
            codec=rng.choice((0, 0, 3)),
            producer_id=producer if producer else -1,
            producer_epoch=0 if producer else -1,
            base_sequence=sequence if producer else -1,
        )

    def _flush(self, *, checkpoint: bool) -> None:
        log = self.opened.log
        flush = log.begin_flush(checkpoint=checkpoint)
        flush.run()
        log.flushed(flush)
        self.promises.durable_end = max(self.promises.durable_end, log.durable_offset)

    def _sync(self) -> None:
        self._flush(checkpoint=False)

    def _checkpoint(self) -> None:
        if self.bug is Planted.EARLY_RECOVERY_POINT:
            self.opened.checkpoint(self.opened.log.log_end_offset)
            return
        self._flush(checkpoint=True)
        if self.rng.random() < 0.7:
            self.opened.checkpoint()

    def _delete_records(self) -> None:
        promises, log = self.promises, self.opened.log
        high_watermark = log.log_end_offset
        if self.settings.durability == "ack":
            high_watermark = max(promises.durable_end, log.log_start_offset)
        upto = self.rng.randint(log.log_start_offset, high_watermark)
        promises.start_most = max(promises.start_most, upto)
        log.advance_start_offset(upto)
        if self.bug is not Planted.FORGOTTEN_DELETION:
            self.opened.checkpoint()
        promises.deleted_before = max(promises.deleted_before, upto)

    def _roll(self) -> None:
        self.opened.log.roll(self.now_ms)

    def _retire(self) -> None:
        log = self.opened.log
        self.promises.start_most = log.log_end_offset
        for path in log.retire_segments(self.now_ms):
            self.disk.remove(path)
        self.promises.start_most = log.log_start_offset

    def _new_epoch(self) -> None:
        self._epoch += 1
        self.opened.log.epochs.assign(self._epoch, self.opened.log.log_end_offset)

    def _restart(self) -> None:
        self.opened.close()
        self.promises.durable_end = self.promises.end_offset
        self.opened = self._open()

    def _kill(self) -> None:
        watch = self.disk.watch
        self.disk = self.disk.kill()
        self.disk.watch = watch
        self.opened = self._open()
        self.promises.durable_end = max(self.promises.durable_end, self.opened.log.durable_offset)

    def _full_disk(self) -> None:
        """No room for a while: what does not fit leaves no trace, the rest is as ever."""
        promises = self.promises
        free = self.rng.randrange(800)
        self.disk.capacity_bytes = self.disk.used_bytes() + free
        for _ in range(self.rng.randrange(1, 4)):
            sequences = list(self._sequences)
            try:
                self._append()
            except DiskFull:
                self._sequences = sequences
                del promises.headers[promises.in_log :], promises.batches[promises.in_log :]
        with suppress(DiskFull):
            self._roll()
        with suppress(DiskFull):
            self._checkpoint()
        self.disk.capacity_bytes = None

    def _compact(self) -> None:
        log = self.opened.log
        self._flush(checkpoint=True)
        found = cleaner_plan.plan(
            log, self._cleaned_to, last_stable_offset=log.log_end_offset, now_ms=self.now_ms
        )
        if found is None:
            return
        last_offsets = {e.producer_id: e.last_offset for e in self.opened.producers.entries()}
        job = cleaner_plan.job(
            log, found, last_offsets=last_offsets, now_ms=self.now_ms, memory_bytes=1_000_000
        )
        for cleaned in clean(self.disk, job, lambda count: None):
            deleted = cleaner_swap.swap_in(log, cleaned.base_offset, cleaned.replaces)
            for path in deleted or ():
                self.disk.remove(path)
            self._cleaned_to = cleaned.end_offset
