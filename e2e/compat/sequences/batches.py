"""Record batches for the sequences, right ones and wrong ones.

Written apart from headrace.wire, so that a mistake there cannot agree with itself here.
Source: the record batch of KIP-98 as described in Kafka's documentation of the protocol.
"""

import gzip
import struct
from collections.abc import Sequence

from crc32c import crc32c

T0_MS = 1_750_000_000_000
HEADER = struct.Struct(">qiibIhiqqqhii")
CRC_FROM = 21
LENGTH_PREFIX_BYTES = 12


def varint(value: int) -> bytes:
    """A zig-zag varint."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def record(index: int, value: bytes | None, key: bytes | None = None, at_ms: int = 0) -> bytes:
    """One record with its offset and timestamp deltas."""
    body = b"\x00" + varint(at_ms) + varint(index)
    for part in (key, value):
        body += varint(-1) if part is None else varint(len(part)) + part
    body += varint(0)
    return varint(len(body)) + body


def batch(
    *values: bytes | None,
    keys: Sequence[bytes | None] | None = None,
    timestamp_ms: int = T0_MS,
    step_ms: int = 1,
    gzipped: bool = False,
    attributes: int = 0,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    base_offset: int = 0,
    magic: int = 2,
    count: int | None = None,
    last_offset_delta: int | None = None,
    length_off_by: int = 0,
    crc_off_by: int = 0,
    max_timestamp_ms: int | None = None,
) -> bytes:
    """One batch; what is given beside the values overrides what would be right.

    `step_ms` lies between records; `length_off_by` and `crc_off_by` are added to the right ones.
    """
    names = keys or [None] * len(values)
    body = b"".join(
        record(i, value, key, i * step_ms)
        for i, (value, key) in enumerate(zip(values, names, strict=True))
    )
    if gzipped:
        body, attributes = gzip.compress(body, mtime=0), attributes | 1
    last = len(values) - 1 if last_offset_delta is None else last_offset_delta
    top = timestamp_ms + max(len(values) - 1, 0) * step_ms
    fields = [
        base_offset,
        HEADER.size - LENGTH_PREFIX_BYTES + len(body) + length_off_by,
        -1,
        magic,
        0,
        attributes,
        last,
        timestamp_ms,
        top if max_timestamp_ms is None else max_timestamp_ms,
        producer_id,
        producer_epoch,
        base_sequence,
        len(values) if count is None else count,
    ]
    fields[4] = crc32c(HEADER.pack(*fields)[CRC_FROM:] + body) + crc_off_by & 0xFFFFFFFF
    return HEADER.pack(*fields) + body
