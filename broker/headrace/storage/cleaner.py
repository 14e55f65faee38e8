"""Log compaction: which key was written last, and the segments written anew without the rest.

This is the work of the cleaner's child process; it only adds `.cleaned` files to a folder. The
broker, which owns the folder, swaps them in (cleaner_swap). Segments are cleaned in groups that
fill one segment, so a shrinking log does not end as thousands of small files. The last batch of
each group is kept, if need be without records, so a cleaned segment ends where the group ended.

Skipped: a log in which Kafka wrote transactions is not compacted: aborted records must not win over
committed ones, and the log does not know its aborted transactions yet.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from crc32c import crc32c

from headrace.base.units import INT32_MAX, MIB
from headrace.storage.cleaner_batch import Horizons, KeyMap, clean_batch, map_batch
from headrace.storage.disk import Disk, File
from headrace.storage.index import OffsetIndex, TimeIndex
from headrace.storage.names import CLEANED, INDEX, LOG, TIME_INDEX, file_name
from headrace.storage.walk import LENGTH_MIN
from headrace.wire.batch import (
    CONTROL,
    CRC_FROM,
    HEADER_BYTES,
    MAGIC,
    TRANSACTIONAL,
    BatchHeader,
    read_batch_header,
)

_CHUNK_BYTES: Final = MIB

Throttle = Callable[[int], None]
"""Told of bytes read and written; takes its time where they are too many."""


class Uncleanable(Exception):
    """The log cannot be compacted, now or ever; the sentence says why and what to do."""


class SegmentRange(NamedTuple):
    """A rolled segment: its first offset, the first of the next one, and its log's bytes."""

    base_offset: int
    end_offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanJob:
    """One pass over one partition's folder.

    `segments` are the rolled ones from the first up to the first that may not be cleaned, all of
    them durable. Keys are mapped from `first_dirty_offset` on. `last_offsets` gives the last data
    offset of each active producer.
    """

    folder: str
    segments: Sequence[SegmentRange]
    first_dirty_offset: int
    last_offsets: Mapping[int, int]
    horizons: Horizons
    segment_bytes: int
    segment_index_bytes: int
    index_interval_bytes: int
    keys_max: int


class Cleaned(NamedTuple):
    """A group of segments stands cleaned in `.cleaned` files of `base_offset`.

    `end_offset` is the next pass's first dirty offset once every group of this one is swapped in.
    """

    base_offset: int
    replaces: tuple[int, ...]
    bytes_before: int
    bytes_after: int
    end_offset: int


def clean(disk: Disk, job: CleanJob, throttle: Throttle) -> Iterator[Cleaned]:
    """Clean group after group, from the oldest on; each is durable when it is yielded.

    Raises Uncleanable, CorruptRecords, DiskFull, DiskFault, and FileNotFoundError where the
    folder or a segment is gone.
    """
    keys = map_keys(disk, job, throttle)
    for group in group_segments(disk, job, keys.end_offset):
        yield _clean_group(disk, job, keys, group, throttle)


def map_keys(disk: Disk, job: CleanJob, throttle: Throttle) -> KeyMap:
    """The last offset of every key from the first dirty offset on, as far as the map has room.

    At least one batch is mapped, so each pass gets further.
    """
    keys = KeyMap({}, job.first_dirty_offset)
    for segment in job.segments:
        if segment.end_offset <= job.first_dirty_offset:
            continue
        file = disk.open(_path(job.folder, segment.base_offset, LOG))
        for header, batch in batches(file, throttle):
            if header.next_offset <= job.first_dirty_offset:
                continue
            if keys.offsets and len(keys.offsets) + header.record_count > job.keys_max:
                return keys
            map_batch(keys, batch)
        keys.end_offset = max(keys.end_offset, segment.end_offset)
    return keys


def group_segments(disk: Disk, job: CleanJob, end_offset: int) -> list[list[SegmentRange]]:
    """Neighbours below `end_offset` that fit together in one segment and its indexes."""
    groups: list[list[SegmentRange]] = []
    log_bytes = index_bytes = time_index_bytes = 0
    for segment in job.segments:
        if segment.base_offset >= end_offset:
            break
        index = _size(disk, _path(job.folder, segment.base_offset, INDEX))
        time_index = _size(disk, _path(job.folder, segment.base_offset, TIME_INDEX))
        if (
            groups
            and log_bytes + segment.size_bytes <= job.segment_bytes
            and index_bytes + index <= job.segment_index_bytes
            and time_index_bytes + time_index <= job.segment_index_bytes
            and segment.end_offset - groups[-1][0].base_offset <= INT32_MAX
        ):
            groups[-1].append(segment)
        else:
            groups.append([segment])
            log_bytes = index_bytes = time_index_bytes = 0
        log_bytes += segment.size_bytes
        index_bytes += index
        time_index_bytes += time_index
    return groups


def batches(file: File, throttle: Throttle) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Every batch of a segment, its CRC checked: what is corrupt is never written anew.

    Raises Uncleanable.
    """
    position = 0
    while position < file.size:
        data = memoryview(file.pread(_CHUNK_BYTES, position))
        at = 0
        while len(data) - at >= HEADER_BYTES:
            header = read_batch_header(data, at)
            size = header.size_bytes
            if header.length < LENGTH_MIN or header.magic != MAGIC:
                raise _corrupt(file, position + at, "there is no batch")
            if at + size > len(data):
                if at:
                    break
                data = memoryview(file.pread(size, position))
                if len(data) < size:
                    raise _corrupt(file, position, "the batch is cut off")
            batch = data[at : at + size]
            if crc32c(batch[CRC_FROM:]) != header.crc:
                raise _corrupt(file, position + at, "the batch does not match its CRC")
            if header.attributes & (TRANSACTIONAL | CONTROL):
                raise Uncleanable(
                    f"{file.path} holds transactions, which this version does not compact: "
                    "set cleanup.policy=delete or leave the partition as it is"
                )
            yield header, batch
            at += size
        if not at:
            raise _corrupt(file, position, "the batch is cut off")
        throttle(at)
        position += at


def _clean_group(
    disk: Disk, job: CleanJob, keys: KeyMap, group: list[SegmentRange], throttle: Throttle
) -> Cleaned:
    output = _Output(disk, job.folder, group[0].base_offset, job.index_interval_bytes, throttle)
    waiting: tuple[BatchHeader, memoryview] | None = None
    for segment in group:
        for header, batch in batches(
            disk.open(_path(job.folder, segment.base_offset, LOG)), throttle
        ):
            if waiting is not None:
                _pass_on(output, job, keys, *waiting, last=False)
            waiting = header, batch
    if waiting is not None:
        _pass_on(output, job, keys, *waiting, last=True)
    return Cleaned(
        base_offset=group[0].base_offset,
        replaces=tuple(segment.base_offset for segment in group),
        bytes_before=sum(segment.size_bytes for segment in group),
        bytes_after=output.finish(),
        end_offset=keys.end_offset,
    )


def _pass_on(
    output: "_Output",
    job: CleanJob,
    keys: KeyMap,
    header: BatchHeader,
    batch: memoryview,
    *,
    last: bool,
) -> None:
    """Write what is left of a batch."""
    if header.base_offset < keys.end_offset:
        of_producer = job.last_offsets.get(header.producer_id) == header.last_offset
        left = clean_batch(keys, batch, job.horizons, keep_empty=last or of_producer)
    else:
        left = batch
    if left:
        output.add(left)


class _Output:
    """The `.cleaned` files of one segment."""

    def __init__(
        self, disk: Disk, folder: str, base_offset: int, interval_bytes: int, throttle: Throttle
    ) -> None:
        paths = [_path(folder, base_offset, kind) + CLEANED for kind in (LOG, INDEX, TIME_INDEX)]
        for path in paths:
            disk.remove(path)
        self._disk = disk
        self._folder = folder
        self._base_offset = base_offset
        self._interval_bytes = interval_bytes
        self._throttle = throttle
        self._log = disk.open(paths[0], create=True)
        self._index = OffsetIndex(disk, paths[1])
        self._time_index = TimeIndex(disk, paths[2])
        self._waiting = bytearray()
        self._next_index_at = 0
        self._greatest = (-1, base_offset)

    def add(self, batch: bytes | bytearray | memoryview) -> None:
        """Append a batch and index it by the log's own rule."""
        header = read_batch_header(batch, 0)
        position = self._log.size + len(self._waiting)
        if header.max_timestamp > self._greatest[0] and header.record_count:
            self._greatest = header.max_timestamp, header.last_offset
        if position >= self._next_index_at:
            if position:
                self._index.append(header.last_offset - self._base_offset, position)
                self._add_time()
            self._next_index_at = position + self._interval_bytes + 1
        self._waiting += batch
        if len(self._waiting) >= _CHUNK_BYTES:
            self._write()

    def finish(self) -> int:
        """Make everything durable; returns the log's bytes."""
        self._write()
        self._add_time()
        for file in (self._index.spill(), self._time_index.spill(), self._log):
            file.sync()
        self._disk.sync_dir(self._folder)
        return self._log.size

    def _add_time(self) -> None:
        timestamp, offset = self._greatest
        if timestamp >= 0:
            self._time_index.append(timestamp, offset - self._base_offset)

    def _write(self) -> None:
        if self._waiting:
            self._log.append(self._waiting)
            self._throttle(len(self._waiting))
            self._waiting = bytearray()


def _corrupt(file: File, position: int, why: str) -> Uncleanable:
    return Uncleanable(
        f"{file.path} is corrupt at byte {position}: {why}; look with `headrace log dump`"
    )


def _path(folder: str, base_offset: int, suffix: str) -> str:
    return f"{folder}/{file_name(base_offset, suffix)}"


def _size(disk: Disk, path: str) -> int:
    try:
        return disk.stat(path).size
    except FileNotFoundError:
        return 0
