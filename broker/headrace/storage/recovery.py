"""Reading a segment from end to end: after a crash, and where an index is missing.

One pass checks length, magic, offset order and CRC of every batch, and rebuilds the indexes, the
epochs and the ledger as if the batches had just been appended. Large reads, a fixed amount of
memory, no object a batch: 128 MiB of 170-byte batches take well under a second.
"""

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crc32c import crc32c

from headrace.base.units import INT32_MAX, MIB
from headrace.storage.disk import File
from headrace.storage.segment import Segment
from headrace.storage.walk import LENGTH_MIN
from headrace.wire.batch import (
    CRC_FROM,
    HEADER,
    HEADER_BYTES,
    LENGTH_PREFIX_BYTES,
    MAGIC,
    BatchHeader,
)

if TYPE_CHECKING:
    from headrace.storage.epochs import EpochCache
    from headrace.storage.ledger import Ledger

_FIELDS: Final = struct.Struct(">qiiBIhi8xqq")
"""Base offset, length, epoch, magic, CRC, attributes, last delta, max timestamp, producer."""
_CHUNK_BYTES: Final = MIB
_COPY_BYTES_MAX: Final = 512
"""To copy so little is cheaper than a memoryview of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What opening a log had to do, for the broker's log line: bytes read and bytes cut off."""

    scanned_bytes: int = 0
    cut_bytes: int = 0
    cut_because: str = ""


@dataclass(slots=True)
class Scan:
    """Where a scan stands (mutable: one object a segment).

    `position` and `next_offset` are after the last good batch; `why` says why it stopped, empty
    at the end of the file.
    """

    position: int
    next_offset: int
    why: str = ""


def scan(
    segment: Segment,
    start: Scan,
    *,
    interval_bytes: int,
    epochs: "EpochCache | None",
    ledger: "Ledger | None",
    observe_from: int = 0,
) -> Scan:
    """Check the batches of `segment` from `start` on and index them; the index ends at `start`.

    Epochs and ledger learn of each batch where they are given, the ledger from `observe_from`
    on. Nothing is cut: the caller does that.
    """
    file = segment.file()
    position, expected = start.position, start.next_offset
    epoch_before = -2
    unpack = _FIELDS.unpack_from
    last_max = segment.base_offset + INT32_MAX
    while position < file.size:
        data = file.pread(_CHUNK_BYTES, position)
        view, at, size = memoryview(data), 0, len(data)
        while at + HEADER_BYTES <= size:
            base, length, epoch, magic, crc, _, delta, max_timestamp, producer = unpack(data, at)
            last = base + delta
            if magic != MAGIC or length < LENGTH_MIN or not expected <= base <= last <= last_max:
                return Scan(position + at, expected, _complaint(base, length, magic, expected))
            end = at + LENGTH_PREFIX_BYTES + length
            if end > size:
                if at:
                    break  # read on from this batch
                found = _crc_of_large(file, position, length)
            elif length < _COPY_BYTES_MAX:
                found = crc32c(data[at + CRC_FROM : end])
            else:
                found = crc32c(view[at + CRC_FROM : end])
            if found != crc:
                return Scan(position + at, expected, f"the CRC of offset {base} does not match")
            if epoch != epoch_before:
                if epoch < epoch_before:
                    return Scan(position + at, expected, f"epoch {epoch} after {epoch_before}")
                epoch_before = epoch
                if epochs is not None:
                    epochs.assign_at(epoch, base)
            # The cleaner leaves batches without records: no timestamp leads to them.
            if max_timestamp > segment.max_timestamp and length > LENGTH_MIN:
                segment.max_timestamp = max_timestamp
                segment.max_timestamp_offset = last
            if position + at > segment.next_index_at:
                if position + at:
                    segment.add_entry(position + at, last)
                else:
                    segment.first_timestamp = max_timestamp
                segment.next_index_at = position + at + interval_bytes
            if producer >= 0 and base >= observe_from and ledger is not None:
                ledger.observe(BatchHeader._make(HEADER.unpack_from(data, at)))
            expected = last + 1
            at = end
        if not at:
            return Scan(position, expected, f"{len(data)} bytes are too few for a batch")
        position += at
    return Scan(position, expected)


def _complaint(base: int, length: int, magic: int, expected: int) -> str:
    if length < LENGTH_MIN:
        return f"a batch of {length} bytes cannot be"
    if magic != MAGIC:
        return f"batch format {magic} is not {MAGIC}"
    if base < expected:
        return f"offset {base} where {expected} or more is due"
    return f"offset {base} with a last offset that its segment cannot hold"


def _crc_of_large(file: File, position: int, length: int) -> int | None:
    """The CRC of a batch longer than a chunk, read in chunks; None if the file is too short."""
    at, end = position + CRC_FROM, position + LENGTH_PREFIX_BYTES + length
    if end > file.size:
        return None
    crc = 0
    while at < end:
        data = file.pread(min(_CHUNK_BYTES, end - at), at)
        crc = crc32c(data, crc)
        at += len(data)
    return crc
