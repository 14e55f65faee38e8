"""Walking a segment from batch to batch by the headers alone.

Each function begins at a batch boundary; those that serve readers are told how to read. A header
that cannot be one, below a position where only whole batches can be, is damage: recovery has
checked what it left there.
"""

import struct
from collections.abc import Iterator
from typing import Final

from headrace.storage.disk import Damaged, File, Read, read_patiently
from headrace.wire.batch import HEADER, HEADER_BYTES, LENGTH_PREFIX_BYTES, BatchHeader

STEP: Final = struct.Struct(">qi11xi")
"""Base offset, length, last offset delta."""
LENGTH_MIN: Final = HEADER_BYTES - LENGTH_PREFIX_BYTES
_NEAR_BYTES: Final = 8192
"""A little more than two index entries are apart by default."""
_FAR_BYTES: Final = 256 * 1024


def _bad(file: File, position: int) -> Damaged:
    return Damaged(
        f"{file.path} holds no batch at byte {position} though its index says so: "
        "run `headrace log dump` on it and check the disk"
    )


def find_offset(
    file: File, position: int, offset: int, end: int, read: Read = read_patiently
) -> tuple[int, int]:
    """Position and base offset of the first batch whose last offset is at least `offset`.

    Looks from `position` to `end`; (end, -1) where there is none.
    """
    data: bytes | bytearray = b""
    at = 0
    while position < end:
        if at + STEP.size > len(data):
            data, at = read(file, min(_NEAR_BYTES, end - position), position), 0
            if len(data) < STEP.size:
                raise _bad(file, position)
        base, length, delta = STEP.unpack_from(data, at)
        if base + delta >= offset:
            return position, base
        if length < LENGTH_MIN:
            raise _bad(file, position)
        position += length + LENGTH_PREFIX_BYTES
        at += length + LENGTH_PREFIX_BYTES
    return end, -1


def last_boundary(
    file: File, position: int, limit: int, end: int, read: Read = read_patiently
) -> tuple[int, int]:
    """The last batch boundary at most `limit`, and the base offset of the batch that begins there.

    `position` <= `limit` < `end`.
    """
    data: bytes | bytearray = b""
    at = 0
    while True:
        if at + STEP.size > len(data):
            data, at = read(file, min(_NEAR_BYTES, end - position), position), 0
            if len(data) < STEP.size:
                raise _bad(file, position)
        base, length, _ = STEP.unpack_from(data, at)
        size = length + LENGTH_PREFIX_BYTES
        if position + size > limit:
            return position, base
        if length < LENGTH_MIN:
            raise _bad(file, position)
        position += size
        at += size


def base_offset_at(file: File, position: int, read: Read = read_patiently) -> int:
    """The base offset of the batch at `position`."""
    return int.from_bytes(read(file, 8, position), "big")


def batch_end(file: File, position: int, end: int, read: Read = read_patiently) -> tuple[int, int]:
    """Where the batch at `position` < `end` ends, and the offset after its last."""
    data = read(file, STEP.size, position)
    if len(data) < STEP.size:
        raise _bad(file, position)
    base, length, delta = STEP.unpack(data)
    after = position + length + LENGTH_PREFIX_BYTES
    if length < LENGTH_MIN or after > end:
        raise _bad(file, position)
    return after, base + delta + 1


def headers(file: File, position: int, end: int) -> Iterator[tuple[int, BatchHeader]]:
    """Each batch's position and whole header from `position` until `end`."""
    data, at = b"", 0
    while position < end:
        if at + HEADER_BYTES > len(data):
            data, at = file.pread(min(_FAR_BYTES, end - position), position), 0
            if len(data) < HEADER_BYTES:
                raise _bad(file, position)
        header = BatchHeader._make(HEADER.unpack_from(data, at))
        if header.length < LENGTH_MIN:
            raise _bad(file, position)
        yield position, header
        position += header.size_bytes
        at += header.size_bytes
