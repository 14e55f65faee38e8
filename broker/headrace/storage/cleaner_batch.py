"""What compaction keeps of one batch.

A record stays if no later one of the mapped range has its key, and a tombstone only until its
delete horizon. The batch keeps its base offset, last offset, sequence and epoch, so offsets and
order never change and a producer's last sequence is still known. Where a batch first keeps a
tombstone, the time from which that may go is written in place of the base timestamp (KIP-534).
Source: Kafka's Cleaner and MemoryRecords.filterTo.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from headrace.wire.batch import (
    CODEC_MASK,
    DELETE_HORIZON,
    LOG_APPEND_TIME,
    NO_TIMESTAMP,
    BatchHeader,
)
from headrace.wire.records import Span, seal_batch, spans, unpack
from headrace.wire.varint import append_varlong, read_varint, read_varlong

BYTES_PER_KEY: Final = 200
"""What a key takes in the map at worst: a digest, an offset, and a dict that has just grown."""
_DIGEST_BYTES: Final = 16


@dataclass(slots=True)  # mutable: it is filled batch by batch
class KeyMap:
    """The last offset of each key in [first dirty offset, `end_offset`).

    Keys of 16 bytes and more stand as a 128-bit digest, as in Kafka.
    """

    offsets: dict[bytes, int]
    end_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizons:
    """When this pass runs and how long it keeps tombstones, in milliseconds."""

    now_ms: int
    delete_retention_ms: int


def map_batch(keys: KeyMap, batch: memoryview) -> None:
    """Note the offset of every key in a batch. Raises CorruptRecords."""
    header, payload = unpack(batch)
    offsets, base_offset = keys.offsets, header.base_offset
    for span in spans(payload, header.record_count):
        if span[5] >= 0:
            offsets[_key(payload, span)] = base_offset + span[3]
    keys.end_offset = header.next_offset


def clean_batch(
    keys: KeyMap, batch: memoryview, horizons: Horizons, *, keep_empty: bool
) -> bytes | bytearray | memoryview:
    """What is left of `batch`: itself, a smaller one, one without records, or no bytes.

    `keep_empty` is for the last batch of a producer or of a segment. Raises CorruptRecords.
    """
    header, payload = unpack(batch)
    horizon_ms = header.base_timestamp if header.attributes & DELETE_HORIZON else None
    expired = horizon_ms is not None and horizons.now_ms >= horizon_ms
    kept: list[Span] = []
    tombstones = False
    for span in spans(payload, header.record_count):
        offset = header.base_offset + span[3]
        if offset < keys.end_offset:
            if span[5] < 0 or keys.offsets.get(_key(payload, span), -1) > offset:
                continue
            if span[7] < 0:
                if expired:
                    continue
                tombstones = True
        kept.append(span)
    if not kept:
        return _without_records(header) if keep_empty else b""
    new_horizon = tombstones and horizon_ms is None
    if len(kept) == header.record_count and not new_horizon:
        return batch
    return _rebuilt(header, payload, kept, horizons if new_horizon else None)


def _rebuilt(
    header: BatchHeader, payload: bytes, kept: list[Span], horizons: Horizons | None
) -> bytearray:
    attributes, base_timestamp = header.attributes, header.base_timestamp
    max_timestamp = header.max_timestamp
    if not attributes & LOG_APPEND_TIME:
        max_timestamp = base_timestamp + max(span[2] for span in kept)
    if horizons is None:
        parts = [payload[span[0] : span[1]] for span in kept]
    else:
        horizon_ms = horizons.now_ms + horizons.delete_retention_ms
        shift = base_timestamp - horizon_ms
        parts = [_shifted(payload, span, shift) for span in kept]
        base_timestamp, attributes = horizon_ms, attributes | DELETE_HORIZON
    header = header._replace(
        attributes=attributes,
        base_timestamp=base_timestamp,
        max_timestamp=max_timestamp,
        record_count=len(kept),
    )
    return seal_batch(header, b"".join(parts), attributes & CODEC_MASK)


def _without_records(header: BatchHeader) -> bytearray:
    header = header._replace(
        attributes=header.attributes & ~(CODEC_MASK | DELETE_HORIZON),
        base_timestamp=NO_TIMESTAMP,
        record_count=0,
    )
    return seal_batch(header, b"", 0)


def _shifted(payload: bytes, span: Span, shift: int) -> bytes:
    """A record for a batch whose base timestamp is `shift` less, so with a larger delta."""
    _, position = read_varint(payload, span[0])
    _, rest = read_varlong(payload, position + 1)
    body = bytearray(payload[position : position + 1])
    append_varlong(body, span[2] + shift)
    body += payload[rest : span[1]]
    record = bytearray()
    append_varlong(record, len(body))
    return bytes(record + body)


def _key(payload: bytes, span: Span) -> bytes:
    """The key as the map has it; a digest cannot equal a shorter key."""
    key = payload[span[4] : span[4] + span[5]]
    if len(key) < _DIGEST_BYTES:
        return key
    return blake2b(key, digest_size=_DIGEST_BYTES).digest()
