"""Loads a shard of a coordinator: reads the log of its partition and replays every record.

Records that cannot be read are passed over and counted: one bad record must not take away all
that its partition coordinates, at this start and every later one.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from headrace.base.clock import Clock
from headrace.core.coordinator import RecordFault, Shard
from headrace.server.partition import Partition
from headrace.storage.disk import DiskFault, NoDescriptor
from headrace.storage.log import OffsetOutOfRange
from headrace.wire import records as wire_records
from headrace.wire.batch import CONTROL, HEADER_BYTES, TRANSACTIONAL, read_batch_header

_SLICE_MS: Final = 2
"""Loading gives the loop back after this long (decision 2)."""
_READ_BYTES: Final = 256 * 1024
_LOADED_AT_ONCE_BYTES: Final = 64 * 1024
"""A log no longer than this is read on the loop: a thread would cost more."""


class Unloadable(Exception):
    """The log cannot be read at `offset`, and so nothing of it is usable."""

    def __init__(self, offset: int, why: Exception) -> None:
        super().__init__(str(why))
        self.offset = offset


@dataclass(slots=True)
class Skipped:
    """Records that were passed over; the rest of a corrupt batch counts as one. Mutable."""

    count: int = 0
    first_offset: int = -1
    first_fault: str = ""

    def add(self, offset: int, fault: Exception) -> None:
        """One more."""
        if self.count == 0:
            self.first_offset, self.first_fault = offset, str(fault)
        self.count += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a log held: records replayed or passed over, and the latter apart."""

    records: int
    skipped: Skipped


async def load(shard: Shard, partition: Partition, clock: Clock) -> Loaded:
    """Replay all that is in the log now, in slices beside other work. Raises Unloadable."""
    partition_log, count, skipped = partition.log, 0, Skipped()
    slice_ms = clock.monotonic_ms()
    offset, end_offset = partition_log.log_start_offset, partition_log.log_end_offset
    try:
        # DeleteRecords may take a part away meanwhile.
        while (offset := max(offset, partition_log.log_start_offset)) < end_offset:
            data = await _read(partition, offset, end_offset)
            for batch in split_batches(data):
                for _ in _replay(shard, batch, skipped):
                    count += 1
                    if not count & 63 and clock.monotonic_ms() - slice_ms >= _SLICE_MS:
                        await asyncio.sleep(0)
                        slice_ms = clock.monotonic_ms()
                offset = read_batch_header(batch, 0).next_offset
    except (DiskFault, NoDescriptor, OffsetOutOfRange, ValueError) as fault:
        raise Unloadable(offset, fault) from fault
    return Loaded(records=count, skipped=skipped)


async def _read(partition: Partition, offset: int, end_offset: int) -> memoryview:
    """Whole batches from the one that holds `offset` on."""
    part = partition.log.locate(offset, _READ_BYTES, max_offset=end_offset)
    if part.count == 0:
        raise ValueError(f"the log ends at {offset}, before {end_offset}")
    if part.count <= _LOADED_AT_ONCE_BYTES:
        data = part.file.pread(part.count, part.position)
    else:
        data = await asyncio.to_thread(part.file.pread, part.count, part.position)
    if len(data) < part.count:
        raise ValueError(f"{len(data)} of {part.count} bytes could be read")
    return memoryview(data)


def split_batches(data: memoryview) -> Iterator[memoryview]:
    """The whole batches that lie one behind the other in `data`."""
    position = 0
    while position + HEADER_BYTES <= len(data):
        size = read_batch_header(data, position).size_bytes
        yield data[position : position + size]
        position += size


def _replay(shard: Shard, batch: memoryview, skipped: Skipped) -> Iterator[None]:
    """Replay one batch record by record. Transactional and control batches are passed over."""
    header = read_batch_header(batch, 0)
    if header.attributes & (TRANSACTIONAL | CONTROL):
        return
    offset = header.base_offset
    try:
        for found in wire_records.walk(batch):
            offset = found.offset
            try:
                record = None if found.key is None else shard.decode(found.key, found.value)
            except RecordFault as fault:
                record = None
                skipped.add(offset, fault)
            if record is not None:
                shard.replay(record)
            yield
    except wire_records.CorruptRecords as fault:
        skipped.add(offset, fault)
