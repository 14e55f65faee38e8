"""A seeded workload on one partition, and what a crash at any moment must leave of it.

The world runs the broker's own partition, flusher, log and data folder over a simulated disk and
a loop that it turns itself, and keeps beside them what was promised: which batches were appended,
up to where they were acknowledged or are durable, what was acknowledged as deleted. Produces also
arrive while a thread is in the middle of a sync.
"""

import random
from contextlib import suppress
from dataclasses import dataclass, field, replace

from headrace.base.errors import Code, Refusal
from headrace.base.invariant import invariant
from headrace.config.topic import LogSettings
from headrace.server.partition import Appended
from headrace.sim.bugs import Planted, plant_on_disk
from headrace.sim.disk import Operation, SimDisk
from headrace.sim.storage_opened import Opened
from headrace.storage import cleaner_plan, cleaner_swap
from headrace.storage.cleaner import clean
from headrace.storage.disk import DiskFull
from headrace.wire.batch import BatchHeader, read_batch_header, stamp
from headrace.wire.records import NewRecord, build_batch

_ALL = -1
_PRODUCE_DURING_SYNC = 0.15
"""How often a produce arrives after an operation of a thread."""

_SETTINGS = LogSettings(
    segment_bytes=2500,
    index_interval_bytes=400,
    delete_retention_ms=10**9,
    retention_ms=-1,
    durability_interval_ms=1500,
)

_WEIGHTS = {
    "append": 60,
    "settle": 0,
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
        self.epoch = 0
        self._sequences = [0, 0, 0]
        self._cleaned_to: int | None = None
        self._appended_ms: list[int] = []
        self._syncing = False
        self._weights = dict(_WEIGHTS)
        if compacted:
            self._weights |= {"compact": 10, "delete_records": 0, "checkpoint": 12}
        self._weights["settle"] = {"never": 2, "interval": 6, "ack": 25}[durability]
        self.opened = self._open()
        if compacted:
            # Recovery without a recovery point cannot tell a hole from Kafka's compaction.
            self._append()
            self._flush()
            self.opened.checkpoint()

    def _open(self) -> Opened:
        return Opened(self.disk, self.settings, self.now_ms, leader_epoch=self.epoch, bug=self.bug)

    def step(self) -> str:
        """Do one thing; returns its name."""
        self.now_ms += self.rng.randrange(1000)
        self.disk.now_ms = self.opened.loop.now_ms = self.now_ms
        if self.settings.durability == "interval":
            self._settle()  # A thread that is not kept waiting keeps the interval.
            self._promise_interval()
        name = self.rng.choices(list(self._weights), list(self._weights.values()))[0]
        getattr(self, f"_{name}")()
        if self.rng.random() < 0.7:
            self._turn()
        if self.opened.faults:
            self._kill()  # A disk that failed under a log ends the broker.
        return name

    def happened(self, operation: Operation) -> None:
        """After an operation of the disk: while a thread works, produces go on arriving."""
        if self._syncing and self.rng.random() < _PRODUCE_DURING_SYNC:
            self._syncing = False
            self._append()
            self._syncing = True

    def _append(self) -> None:
        promises, partition = self.promises, self.opened.partition
        sequences = list(self._sequences)
        sent = self._batch()
        stored = bytearray(sent)
        stamp(memoryview(stored), 0, self.opened.log.log_end_offset, self.epoch)
        promises.headers.append(read_batch_header(stored, 0))
        promises.batches.append(bytes(stored))
        made = partition.append(memoryview(sent), 0, len(sent), _ALL, self.now_ms, opened=True)
        if not isinstance(made, Appended):
            no_room = isinstance(made, Refusal) and made.code == Code.KAFKA_STORAGE_ERROR
            invariant(no_room, "refused for another reason than room")
            self._sequences = sequences
            del promises.headers[promises.in_log :], promises.batches[promises.in_log :]
            return
        promises.in_log += 1
        self._appended_ms.append(self.now_ms)
        if self.settings.durability == "ack":
            end = made.end_offset

            def acknowledged() -> None:
                if partition.failure is None:
                    promises.durable_end = max(promises.durable_end, end)

            if partition.when_committed(end, acknowledged):
                acknowledged()

    def _promise_interval(self) -> None:
        """What is older than the interval outlives a power cut."""
        promises = self.promises
        oldest = self.now_ms - self.settings.durability_interval_ms
        for header, appended_ms in zip(promises.headers, self._appended_ms, strict=False):
            if appended_ms <= oldest:
                promises.durable_end = max(promises.durable_end, header.next_offset)

    def _batch(self) -> bytearray:
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
            base_offset=0,
            leader_epoch=-1,
            codec=rng.choice((0, 0, 3)),
            producer_id=producer if producer else -1,
            producer_epoch=0 if producer else -1,
            base_sequence=sequence if producer else -1,
        )

    def _turn(self) -> None:
        """The loop has its turn; a thread may get to its job."""
        loop = self.opened.loop
        loop.turn()
        if self.rng.random() < 0.5:
            self._syncing = True
            loop.work()
            self._syncing = False
        self._note_durable()

    def _settle(self) -> None:
        """Everything that is due is done."""
        loop = self.opened.loop
        loop.turn()
        self._syncing = True
        while loop.work():
            self._syncing = False
            loop.turn()
            self._syncing = True
        self._syncing = False
        self._note_durable()

    def _note_durable(self) -> None:
        """What the log says of itself is a promise too: recovery and the cleaner build on it."""
        self.promises.durable_end = max(self.promises.durable_end, self.opened.log.durable_offset)

    def _flush(self) -> None:
        self.opened.flusher.soon(self.opened.partition, checkpoint=True)
        self._settle()

    def _checkpoint(self) -> None:
        if self.bug is Planted.EARLY_RECOVERY_POINT:
            self.opened.checkpoint(self.opened.log.log_end_offset)
            return
        self._flush()
        if self.rng.random() < 0.7:
            self.opened.checkpoint()

    def _delete_records(self) -> None:
        promises, log = self.promises, self.opened.log
        upto = self.rng.randint(log.log_start_offset, self.opened.partition.high_watermark)
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
        high_watermark = self.opened.partition.high_watermark
        for path in log.retire_segments(self.now_ms, high_watermark=high_watermark):
            self.disk.remove(path)
        self.promises.start_most = log.log_start_offset

    def _new_epoch(self) -> None:
        self.epoch += 1
        self.opened.lead(self.epoch)

    def _restart(self) -> None:
        self.opened.close()
        self.promises.durable_end = self.promises.end_offset
        self.opened = self._open()

    def _kill(self) -> None:
        watch = self.disk.watch
        self.disk = self.disk.kill()
        self.disk.watch = watch
        self.epoch += 1  # As after every unclean stop.
        self.opened = self._open()
        self.promises.durable_end = max(self.promises.durable_end, self.opened.log.durable_offset)

    def _full_disk(self) -> None:
        """No room for a while: what does not fit leaves no trace, the rest is as ever."""
        free = self.rng.randrange(800)
        self.disk.capacity_bytes = self.disk.used_bytes() + free
        for _ in range(self.rng.randrange(1, 4)):
            self._append()
        with suppress(DiskFull):
            self._roll()
        with suppress(DiskFull):
            self._checkpoint()
        self.disk.capacity_bytes = None

    def _compact(self) -> None:
        log = self.opened.log
        self._flush()
        stable = self.opened.partition.last_stable_offset
        found = cleaner_plan.plan(
            log, self._cleaned_to, last_stable_offset=stable, now_ms=self.now_ms
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
