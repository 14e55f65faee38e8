"""One partition's log: a row of segments in a folder, appended to at one end.

Synchronous and for one thread; only `Flush.run` may run beside it. `append` and `locate` are the
hot path: no loop over records, no system call beyond the write itself or, for a reader that does
not reach the end, two small reads from the page cache. Files and names are Kafka 4.3's.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self
from zlib import crc32

from typing_extensions import Buffer

from headrace.base.invariant import invariant
from headrace.base.units import INT32_MAX, INT64_MAX
from headrace.config.topic import LogSettings
from headrace.storage import opening, retention, timestamps, truncation
from headrace.storage.disk import Damaged, Disk, DiskFull, File, Read, read_patiently
from headrace.storage.epochs import EpochCache
from headrace.storage.flush import Flush, Tenure
from headrace.storage.index import OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES
from headrace.storage.ledger import Ledger
from headrace.storage.open_segments import OpenSegments
from headrace.storage.recovery import Recovered
from headrace.storage.segment import Segment
from headrace.storage.snapshots import Snapshots
from headrace.storage.timestamps import TimestampOffset

_PLACES_MAX: Final = 32
"""Readers of one partition whose place is kept; another one costs a look-up in the index."""
_SPAN_ENTRIES_MAX: Final = 4096

OnDamage = Callable[[str, Damaged], None]
"""(what was wanted, what is there instead): whoever read gets the same as an exception."""


def _say_nothing(wanted: str, damage: Damaged) -> None:
    """Until somebody sets `Log.on_damage`."""


@dataclass(slots=True)  # not frozen: that makes one take three times as long
class Slice:
    """Whole batches in a file: `count` bytes from `position`. Empty where count is 0."""

    file: File
    position: int
    count: int

    def __len__(self) -> int:
        return self.count


class OffsetOutOfRange(Exception):
    """The offset is not between the log's start and its end."""

    def __init__(self, offset: int, log_start_offset: int, log_end_offset: int) -> None:
        super().__init__(f"offset {offset} is outside [{log_start_offset}, {log_end_offset}]")
        self.offset = offset
        self.log_start_offset = log_start_offset
        self.log_end_offset = log_end_offset


class Log:
    """Open with `Log.open`. `log_end_offset` is the offset that the next record gets.

    `durable_offset`: everything below survives a power cut. `recovery_point`: so do the indexes,
    snapshots and epochs below, and recovery begins there; for recovery-point-offset-checkpoint.
    `log_start_offset`: the first offset that may be read; `local_log_start_offset`: the first
    that is in this folder. `recovered`: what opening had to do.

    Invariants: segments is never empty and ordered by base offset; the last is the active one;
    recovery_point <= durable_offset <= log_end_offset.
    """

    __slots__ = ("_closing", "_file", "_generation", "_leader_epoch", "_places",
                 "_roll_above_bytes", "_roll_above_ms", "_roll_above_offset",
                 "_roll_above_timestamp", "_rolled_bytes", "_settings", "_tenure", "_unfinished",
                 "_unsynced", "active", "disk", "durable_offset", "epochs", "folder_new", "ledger",
                 "log_end_offset", "log_start_offset", "names_new", "on_damage", "open_segments",
                 "path", "recovered", "recovery_point", "segments", "snapshots")  # fmt: skip

    def __init__(
        self,
        disk: Disk,
        path: str,
        settings: LogSettings,
        ledger: Ledger,
        found: opening.Folder,
        open_segments: OpenSegments,
    ) -> None:
        """For `open`, which completes it."""
        self.disk = disk
        self.path = path
        self.ledger = ledger
        self.segments = found.segments
        self.snapshots = Snapshots(disk, path, found.snapshots)
        self.epochs = found.epochs or EpochCache()
        self.open_segments = open_segments
        self.on_damage: OnDamage = _say_nothing
        self.log_start_offset = 0
        self.log_end_offset = 0
        self.recovery_point = 0
        self.durable_offset = 0
        self.recovered = Recovered()
        self.names_new = True
        # The folder itself may be a name that no power cut has been held off from yet.
        self.folder_new = True
        self._settings = settings
        self._unsynced: list[Segment] = []  # rolled, their batches not known to be durable
        self._unfinished: list[Segment | File] = []  # the same of indexes, and of snapshots
        self._generation = 0
        self._closing = False
        self._tenure = Tenure()
        self._places: dict[int, tuple[Segment, int, int]] = {}
        self._leader_epoch = -1
        self._rolled_bytes = 0

    @classmethod
    def open(
        cls,
        disk: Disk,
        path: str,
        settings: LogSettings,
        ledger: Ledger,
        *,
        clean: bool,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        now_ms: int,
        open_segments: OpenSegments | None = None,
    ) -> Self:
        """Open the folder's log, or make it; unless `clean`, recover from `recovery_point` on.

        `clean` says that the last process closed it. Raises DiskFull (only for a new log) and
        DiskFault.
        """
        found = opening.read_folder(disk, path, log_start_offset)
        log = cls(disk, path, settings, ledger, found, open_segments or OpenSegments(8))
        opening.complete(log, found, clean, recovery_point, log_start_offset, now_ms)
        return log

    @property
    def settings(self) -> LogSettings:
        return self._settings

    @settings.setter
    def settings(self, settings: LogSettings) -> None:
        self._settings = settings
        self._set_limits()

    @property
    def local_log_start_offset(self) -> int:
        return max(self.log_start_offset, self.segments[0].base_offset)

    @property
    def size_bytes(self) -> int:
        """Bytes of all log files."""
        return self._rolled_bytes + self._file.size

    @property
    def unflushed_offsets(self) -> int:
        """How many offsets recovery would scan after a crash now."""
        return self.log_end_offset - self.recovery_point

    def append(
        self,
        batch: Buffer,
        *,
        last_offset: int,
        max_timestamp: int,
        leader_epoch: int,
        now_ms: int,
    ) -> None:
        """Add one checked batch whose base offset is the log end offset (or, on a follower of a
        compacted log, above it). The ledger must not have observed it yet.

        Raises DiskFull, with the log as it was, or DiskFault.
        """
        file = self._file
        position = file.size
        if (
            position > self._roll_above_bytes - len(batch)  # type: ignore[arg-type]
            or max_timestamp > self._roll_above_timestamp
            or last_offset > self._roll_above_offset
            or now_ms > self._roll_above_ms
            or leader_epoch != self._leader_epoch
        ):
            self._turn(batch, leader_epoch, now_ms)
            file = self._file
            position = file.size
        file.append(batch)
        active = self.active
        if max_timestamp > active.max_timestamp:
            active.max_timestamp = max_timestamp
            active.max_timestamp_offset = last_offset
        if position > active.next_index_at:
            self._index(position, last_offset, max_timestamp)
        self.log_end_offset = last_offset + 1

    def _turn(self, batch: Buffer, leader_epoch: int, now_ms: int) -> None:
        """Before a batch that begins a segment or an epoch, or both."""
        view = memoryview(batch)
        base = int.from_bytes(view[:8], "big")
        invariant(base >= self.log_end_offset, "batches are appended in offset order",
                  path=self.path, base=base, log_end_offset=self.log_end_offset)  # fmt: skip
        position = self._file.size
        delta = int.from_bytes(view[23:27], "big")
        max_timestamp = int.from_bytes(view[35:43], "big", signed=True)
        if base + delta > self._roll_above_offset or (
            position
            and (
                position + len(view) > self._roll_above_bytes
                or max_timestamp > self._roll_above_timestamp
                or now_ms > self._roll_above_ms
            )
        ):
            self._begin_segment(base, now_ms)
        self.epochs.assign(leader_epoch, base)
        self._leader_epoch = leader_epoch

    def _index(self, position: int, last_offset: int, max_timestamp: int) -> None:
        """After the first batch of a segment, and after each that is far enough from the last
        that was indexed."""
        active = self.active
        if position:
            active.add_entry(position, last_offset)
        else:
            active.first_timestamp = max_timestamp
        active.next_index_at = position + self._settings.index_interval_bytes
        self._set_limits()

    def _set_limits(self) -> None:
        """Work out at what the active segment ends."""
        settings, active = self._settings, self.active
        index_bytes = settings.segment_index_bytes
        full = (
            active.index.entries >= max(index_bytes // OFFSET_ENTRY_BYTES, 1)
            or active.time_index.entries >= max(index_bytes // TIME_ENTRY_BYTES - 1, 1)
        )  # fmt: skip
        self._roll_above_bytes = -1 if full else settings.segment_bytes
        self._roll_above_offset = active.base_offset + INT32_MAX
        self._roll_above_timestamp = self._roll_above_ms = INT64_MAX
        if active.size:
            jitter_ms = min(settings.segment_jitter_ms, settings.segment_ms)
            age_ms = settings.segment_ms
            if jitter_ms:  # the same for one segment on every start, spread over segments
                age_ms -= crc32(active.path.encode()) % jitter_ms
            if active.first_timestamp >= 0:
                self._roll_above_timestamp = active.first_timestamp + age_ms
            else:
                self._roll_above_ms = active.created_ms + age_ms

    def roll(self, now_ms: int) -> None:
        """End the active segment, unless it is empty. Raises DiskFull with the log as it was."""
        if self._file.size:
            self._begin_segment(self.log_end_offset, now_ms)

    def _begin_segment(self, base_offset: int, now_ms: int) -> None:
        old = self.active
        if base_offset == old.base_offset:
            return
        old.finish()
        snapshot = self.snapshots.write(base_offset, self.ledger)
        segment = Segment(self.disk, self.path, base_offset, 0)
        segment.create()
        if snapshot is not None:
            self._unfinished.append(snapshot)
        if old.size:
            self.unsynced([old])
            old.active = False
            self.open_segments.use(old)
        else:
            self.segments.pop()
            self.drop(old)
        self.segments.append(segment)
        self.take_active(segment, now_ms)

    def take_active(self, segment: Segment, now_ms: int) -> None:
        """`segment`, the last one, is where appends go from now on."""
        segment.active = True
        segment.created_ms = now_ms
        self.active = segment
        self._file = segment.file()
        self.names_new = True
        self.relink()

    def relink(self) -> None:
        """Work out anew what follows from the list of segments."""
        segments = self.segments
        rolled = segments[:-1]
        self._unsynced = [i for i in self._unsynced if i in rolled]
        self._unfinished = [
            i for i in self._unfinished if not isinstance(i, Segment) or i in rolled
        ]
        for before, after in pairwise(segments):
            before.end_offset = after.base_offset
        self._rolled_bytes = sum(segment.size for segment in rolled)
        self._places.clear()
        self._leader_epoch = self.epochs.latest
        self._set_limits()

    def unsynced(self, segments: Sequence[Segment]) -> None:
        """The next flush syncs these rolled segments too."""
        self._unsynced.extend(segments)
        self._unfinished.extend(segments)

    def drop(self, segment: Segment) -> None:
        """Remove a segment's files now, durably; the caller took it from the list."""
        segment.active = False
        segment.let_go()
        self.open_segments.forget(segment)
        for path in segment.paths():
            self.disk.remove(path)
        self.disk.sync_dir(self.path)

    def locate(
        self, offset: int, max_bytes: int, *, max_offset: int, read: Read = read_patiently
    ) -> Slice:
        """Where to read from `offset` on: whole batches below `max_offset`, of one segment.

        As many as fit in `max_bytes`, at least one; the first holds `offset`. Empty where there
        is nothing below `max_offset`. Raises OffsetOutOfRange, Damaged, DiskFault, and what
        `read` raises.
        """
        try:
            return self._locate(offset, max_bytes, max_offset, read)
        except Damaged as damage:
            self.on_damage(f"offset {offset}", damage)
            raise

    def _locate(self, offset: int, max_bytes: int, max_offset: int, read: Read) -> Slice:
        if offset < self.log_start_offset or offset > self.log_end_offset:
            raise OffsetOutOfRange(offset, self.log_start_offset, self.log_end_offset)
        if offset >= max_offset:
            return Slice(self._file, 0, 0)
        places = self._places
        place = places.get(offset)
        if place is None:
            place = self._find(offset, read)
        segment, position, hint = place
        if segment is self.active:
            file = self._file
            end = file.size
            following = self.log_end_offset
        else:
            file, end, following = self._rolled(segment)
            if position >= end:
                return self._locate_in_next(offset, max_bytes, max_offset, read)
        if following > max_offset:
            end, following = self._end_below(segment, max_offset, read)
        if end - position > max_bytes:
            limit = position + max_bytes
            cut, cut_following, hint = self._cut(segment, position, limit, hint, read)
            if cut <= end:
                end, following = cut, cut_following
        elif end <= position:
            return Slice(file, position, 0)
        if following not in places:
            if len(places) >= _PLACES_MAX:
                del places[next(iter(places))]
            places[following] = (segment, end, hint)
        return Slice(file, position, end - position)

    def _rolled(self, segment: Segment) -> tuple[File, int, int]:
        self.open_segments.use(segment)
        opening.load_rolled(self, segment)
        return segment.file(), segment.size, segment.end_offset

    def _locate_in_next(self, offset: int, max_bytes: int, max_offset: int, read: Read) -> Slice:
        """The place kept for `offset` was the end of a segment that was active then."""
        self._places.pop(offset, None)
        return self._locate(offset, max_bytes, max_offset, read)

    def segment_of(self, offset: int) -> int:
        """The number of the segment whose range holds `offset`; the first for one below all."""
        return max(0, bisect_right(self.segments, offset, key=_base_of) - 1)

    def find(self, offset: int, read: Read = read_patiently) -> tuple[Segment, int, int]:
        """Segment, position and base offset of the first batch that ends at or after `offset`.

        The end of the active segment and -1 where there is none.
        """
        for number in range(self.segment_of(offset), len(self.segments)):
            segment = self.segments[number]
            if segment is not self.active:
                self._rolled(segment)
            elif not segment.size:
                return segment, 0, -1
            else:
                self.open_segments.use(segment)
            position, base = segment.find(offset, read)
            if base >= 0:
                return segment, position, base
        return segment, position, -1

    def _find(self, offset: int, read: Read) -> tuple[Segment, int, int]:
        if offset == self.log_end_offset:
            return self.active, self._file.size, -1
        segment, position, _ = self.find(offset, read)
        return segment, position, -1

    def _end_below(self, segment: Segment, max_offset: int, read: Read) -> tuple[int, int]:
        """Where in `segment` the batches that are wholly below `max_offset` end."""
        place = self._places.get(max_offset)
        if place is not None and place[0] is segment:
            return place[1], max_offset
        found, position, base = self.find(max_offset, read)
        if found is not segment:
            return segment.size, segment.end_offset
        return position, max_offset if base >= max_offset else base

    def _cut(
        self, segment: Segment, start: int, limit: int, hint: int, read: Read
    ) -> tuple[int, int, int]:
        self.open_segments.use(segment)
        interval = max(self._settings.index_interval_bytes, 1)
        span = min((limit - start) // interval + 2, _SPAN_ENTRIES_MAX)
        return segment.boundary(start, limit, hint, span, read)

    def begin_flush(self, *, checkpoint: bool = True) -> Flush:
        """Note what is to become durable: all that is in the log now.

        With `checkpoint` indexes, a producer snapshot and epochs too (a full disk leaves them
        for the next one); without, the batches alone, for durability=ack and interval.
        """
        unsynced, unfinished = self._unsynced, self._unfinished
        files = [segment.file() for segment in unsynced]
        files.append(self._file)
        if checkpoint:
            try:
                # A roll later on is not synced at once: this entry is then the segment's last.
                self.active.add_time_entry()
                for item in [*unfinished, self.active]:
                    if isinstance(item, Segment):
                        files += (item.index.spill(), item.time_index.spill())
                    else:
                        files.append(item)
                snapshot = self.snapshots.write(self.log_end_offset, self.ledger)
                if snapshot is not None:
                    files.append(snapshot)
                self.names_new = True
            except DiskFull:
                checkpoint = False
        epochs = self.epochs.encode() if checkpoint and self.epochs.dirty else None
        if self.log_end_offset not in self._places and self._file.size:
            self._places[self.log_end_offset] = (self.active, self._file.size, -1)
        flush = Flush(self.disk, self.path, files, self._tenure, offset=self.log_end_offset,
                      unsynced=tuple(unsynced), unfinished=tuple(unfinished),
                      generation=self._generation, names_new=self.names_new,
                      folder_new=self.folder_new,
                      checkpoint=checkpoint, epochs=epochs)  # fmt: skip
        self.names_new = self.folder_new = False
        if epochs is not None:
            self.epochs.dirty = False
        return flush

    def begin_close(self) -> Flush:
        """A flush after which `close` has nothing left to sync: a broker runs those of all its
        logs in many threads at once, and the file system's journal commits them together."""
        self._closing = True
        return self.begin_flush()

    def flushed(self, flush: Flush) -> None:
        """`flush` has run without a fault."""
        if flush.generation != self._generation:
            return  # truncated since: what it made durable may be gone
        self.durable_offset = max(self.durable_offset, flush.offset)
        self._unsynced = [i for i in self._unsynced if i not in flush.unsynced]
        if not flush.checkpoint:
            self.epochs.dirty |= flush.epochs is not None
        else:
            self._unfinished = [i for i in self._unfinished if i not in flush.unfinished]
            self.recovery_point = max(self.recovery_point, flush.offset)
            self.snapshots.keep([segment.base_offset for segment in self.segments], newest=2)

    def not_flushed(self, flush: Flush) -> None:
        """`flush` could not do all of it, for want of a descriptor: the next one does."""
        self.names_new |= flush.names_new
        self.folder_new |= flush.folder_new
        self.epochs.dirty |= flush.epochs is not None

    def truncated(self, offset: int) -> None:
        """Offsets from `offset` on are gone, so flushes under way prove nothing.

        The caller writes the lower recovery point to its checkpoint before it appends again.
        """
        self._generation += 1
        self.epochs.dirty = True
        self.log_end_offset = offset
        self.durable_offset = min(self.durable_offset, offset)
        self.recovery_point = min(self.recovery_point, offset)

    def offset_for_timestamp(self, timestamp: int) -> TimestampOffset | None:
        """The first record at or after the log start whose timestamp is at least this.

        Raises Damaged, DiskFault.
        """
        try:
            return timestamps.offset_for_timestamp(self, timestamp)
        except Damaged as damage:
            self.on_damage(f"timestamp {timestamp}", damage)
            raise

    def max_timestamp_offset(self) -> TimestampOffset | None:
        """The first record with the greatest timestamp in the log. Raises Damaged, DiskFault."""
        try:
            return timestamps.max_timestamp_offset(self)
        except Damaged as damage:
            self.on_damage("the greatest timestamp", damage)
            raise

    def retire_segments(self, now_ms: int, *, high_watermark: int | None = None) -> list[str]:
        """Drop what retention does not keep and is below the high watermark (default: the end).

        Returns the renamed files (`.deleted`), for the caller to remove with `Disk.remove` after
        file_delete_delay_ms; a start removes those left over.
        """
        upto = self.log_end_offset if high_watermark is None else high_watermark
        return retention.retire_segments(self, now_ms, upto)

    def advance_start_offset(self, offset: int) -> None:
        """DeleteRecords: nothing below `offset` is read from now on. Never goes back."""
        if offset > self.log_end_offset:
            raise OffsetOutOfRange(offset, self.log_start_offset, self.log_end_offset)
        if offset > self.log_start_offset:
            self.log_start_offset = offset
            self.epochs.truncate_from_start(offset)

    def truncate_to(self, offset: int) -> None:
        """Cut off every batch that ends at or after `offset`; the ledger follows."""
        truncation.truncate_to(self, offset)

    def restart_at(self, offset: int) -> None:
        """Drop everything and begin empty at `offset`."""
        truncation.restart_at(self, offset)

    def close(self, *, clean: bool = True) -> None:
        """Close the files; `clean` first makes everything durable, as Kafka's shutdown does.

        Nothing is synced where `begin_close` was flushed and nothing came after. A Flush that
        still runs, and a slice that is being sent, keep their files until they are done. Raises
        DiskFault, and DiskFull once it is closed where not all could be written: the batches
        are durable, but the shutdown is not a clean one.
        """
        complete = True
        if clean:
            if not self._closing or self.recovery_point < self.log_end_offset:
                flush = self.begin_close()
                flush.run()
                self.flushed(flush)
            complete = self.recovery_point == self.log_end_offset and not self.epochs.dirty
            self.snapshots.keep([segment.base_offset for segment in self.segments], newest=1)
        self._tenure.end()
        for segment in self.segments:
            self.open_segments.forget(segment)
            segment.active = False
            segment.let_go()
        self._unsynced.clear()
        self._unfinished.clear()
        self._places.clear()
        del self._file  # the last reference closes the descriptor
        if not complete:
            raise DiskFull(f"no room to close {self.path} well: the next start recovers it")


def _base_of(segment: Segment) -> int:
    return segment.base_offset


__all__: Sequence[str] = ("Log", "OffsetOutOfRange", "Slice", "TimestampOffset")
