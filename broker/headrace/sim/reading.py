"""Reading a log from end to end as a consumer would, and its indexes as nobody else does."""

from collections.abc import Iterator

from headrace.storage import opening, walk
from headrace.storage.log import Log
from headrace.wire.batch import BatchHeader, read_batch_header
from headrace.wire.records import Record
from headrace.wire.records import walk as walk_records


def read_batches(log: Log, max_bytes: int = 4096) -> Iterator[tuple[BatchHeader, bytes]]:
    """Every batch from the log start on, through `locate`."""
    offset = log.log_start_offset
    while True:
        found = log.locate(offset, max_bytes, max_offset=log.log_end_offset)
        data = found.file.pread(found.count, found.position)
        if not data:
            return
        at = 0
        while at < len(data):
            header = read_batch_header(data, at)
            yield header, data[at : at + header.size_bytes]
            at += header.size_bytes
            offset = header.next_offset


def read_records(log: Log) -> Iterator[Record]:
    """Every record at or after the log start."""
    for _, batch in read_batches(log):
        for record in walk_records(batch):
            if record.offset >= log.log_start_offset:
                yield record


def index_faults(log: Log) -> Iterator[str]:
    """Where an index says something that its segment's batches do not."""
    for segment in log.segments:
        if not segment.active:
            opening.load_rolled(log, segment)
        last_offset_at: dict[int, int] = {}
        greatest_at: dict[int, int] = {}
        greatest = -1
        for position, header in walk.headers(segment.file(), 0, segment.size):
            if header.record_count:
                greatest = max(greatest, header.max_timestamp)
            last_offset_at[position] = header.last_offset
            greatest_at[header.last_offset] = greatest
        for number in range(segment.index.entries):
            offset, position = segment.index.entry(number)
            if last_offset_at.get(position) != segment.base_offset + offset:
                yield f"{segment.index.path}: entry {number} is ({offset}, {position})"
        for number in range(segment.time_index.entries):
            timestamp, offset = segment.time_index.entry(number)
            if greatest_at.get(segment.base_offset + offset) != timestamp:
                yield f"{segment.time_index.path}: entry {number} is ({timestamp}, {offset})"
        if segment.max_timestamp != greatest and segment.size:
            yield f"{segment.path}: greatest timestamp {greatest}, not {segment.max_timestamp}"
