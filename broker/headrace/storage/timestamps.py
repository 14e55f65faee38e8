"""Looking records up by time. Only the one batch that holds the answer is unpacked."""

from typing import TYPE_CHECKING, NamedTuple

from headrace.storage import opening, walk
from headrace.storage.segment import Segment
from headrace.wire import records
from headrace.wire.batch import BatchHeader

if TYPE_CHECKING:
    from headrace.storage.log import Log


class TimestampOffset(NamedTuple):
    """A record's timestamp in milliseconds, its offset, and the leader epoch of its batch."""

    timestamp: int
    offset: int
    leader_epoch: int


def offset_for_timestamp(log: "Log", timestamp: int) -> TimestampOffset | None:
    """The first record at or after the log start whose timestamp is at least `timestamp`."""
    start = log.log_start_offset
    for segment in log.segments[log.segment_of(start) :]:
        _ready(log, segment)
        if segment.max_timestamp < timestamp:
            continue
        below = segment.base_offset + segment.time_index.offset_below(timestamp)
        position, _ = segment.find(max(below, start))
        for at, header in walk.headers(segment.file(), position, segment.size):
            if header.max_timestamp < timestamp:
                continue
            found = _first_record(segment, at, header, timestamp, start)
            if found is not None:
                return found
    return None


def max_timestamp_offset(log: "Log") -> TimestampOffset | None:
    """The first record with the greatest timestamp; None where no record has one."""
    best: Segment | None = None
    for segment in log.segments:
        _ready(log, segment)
        if segment.max_timestamp >= 0 and (
            best is None or segment.max_timestamp > best.max_timestamp
        ):
            best = segment
    if best is None:
        return None
    position, base = best.find(best.max_timestamp_offset)
    if base < 0:
        return None
    _, header = next(walk.headers(best.file(), position, best.size))
    return _first_record(best, position, header, best.max_timestamp, base)


def _ready(log: "Log", segment: Segment) -> None:
    log.open_segments.use(segment)
    if not segment.active:
        opening.load_rolled(log, segment)


def _first_record(
    segment: Segment, position: int, header: BatchHeader, timestamp: int, start: int
) -> TimestampOffset | None:
    batch = segment.file().pread(header.size_bytes, position)
    try:
        for record in records.walk(batch):
            if record.timestamp >= timestamp and record.offset >= start:
                return TimestampOffset(record.timestamp, record.offset, header.leader_epoch)
    except records.CorruptRecords:
        # A client compressed what is no records; its batch is the nearest that can be said.
        offset = max(header.base_offset, start)
        return TimestampOffset(header.max_timestamp, offset, header.leader_epoch)
    return None
