"""The records inside a batch: build, walk, validate, recompress. Never on the hot path.

Source: KIP-98; org.apache.kafka.common.record.DefaultRecord. A record is its length, attributes,
timestamp and offset deltas, key, value and headers, all lengths zig-zag varints, -1 for null.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from typing_extensions import Buffer

from headrace.base.errors import Code, Refusal
from headrace.base.invariant import invariant
from headrace.base.units import MIB
from headrace.wire.batch import (
    CODEC_MASK,
    HEADER,
    HEADER_BYTES,
    LENGTH_PREFIX_BYTES,
    LOG_APPEND_TIME,
    MAGIC,
    NO_PRODUCER_ID,
    RECORD_BYTES_MIN,
    BatchHeader,
    read_batch_header,
    set_crc,
)
from headrace.wire.compression import NONE, CompressionError, compress, decompress
from headrace.wire.varint import VarintError, append_varlong, read_varint, read_varlong

UNPACKED_BYTES_MAX: Final = 64 * MIB
"""No batch unpacks to more: a bomb of a few KiB must not take the broker's memory."""


class CorruptRecords(Exception):
    """The bytes behind a batch's header are not the records that it says."""


class Header(NamedTuple):
    """A record's header."""

    key: str
    value: bytes | None


class Record(NamedTuple):
    """One record. `timestamp` is in milliseconds; under log append time it is the broker's."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


Span: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]
"""Where a record lies in the unpacked records, whose bytes are `payload[start:end]`:
(start, end, timestamp_delta, offset_delta, key, key_bytes, value, value_bytes, headers).
`key` and `value` are positions, lengths are -1 for null; `headers` is where their count stands.
A plain tuple, because the cleaner and consumers make one for every record."""


class NewRecord(NamedTuple):
    """A record to build; offsets follow from the order."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[Header] = ()


def build_batch(
    records: Sequence[NewRecord],
    *,
    base_offset: int = 0,
    leader_epoch: int = -1,
    codec: int = NONE,
    level: int | None = None,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    attributes: int = 0,
) -> bytearray:
    """A whole batch of at least one record, offsets from `base_offset` on.

    `attributes` are the bits beside the codec.
    """
    invariant(len(records) > 0, "a batch has a record")
    base_timestamp = records[0].timestamp
    max_timestamp = base_timestamp
    parts: list[bytes] = []
    for delta, (key, value, timestamp, headers) in enumerate(records):
        if timestamp > max_timestamp:
            max_timestamp = timestamp
        parts += encode_record(delta, timestamp - base_timestamp, key, value, headers)
    header = BatchHeader(
        base_offset=base_offset,
        length=0,
        leader_epoch=leader_epoch,
        magic=MAGIC,
        crc=0,
        attributes=attributes,
        last_offset_delta=len(records) - 1,
        base_timestamp=base_timestamp,
        max_timestamp=max_timestamp,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        record_count=len(records),
    )
    return seal_batch(header, b"".join(parts), codec, level)


def seal_batch(
    header: BatchHeader, payload: Buffer, codec: int, level: int | None = None
) -> bytearray:
    """The batch of `header` around unpacked records: codec, length and CRC are set here."""
    packed = memoryview(compress(codec, payload, level))
    header = header._replace(
        length=HEADER_BYTES - LENGTH_PREFIX_BYTES + len(packed),
        attributes=header.attributes & ~CODEC_MASK | codec,
    )
    batch = bytearray(HEADER.pack(*header))
    batch += packed
    set_crc(memoryview(batch), 0, len(batch))
    return batch


def encode_record(
    offset_delta: int,
    timestamp_delta: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[Header] = (),
) -> tuple[bytes, bytes]:
    """A record in two pieces: its length, and the rest."""
    if key is None:
        key_part = b"\x01"
    else:
        key_part = _varlong(len(key)) + key
    value_part = b"\x01" if value is None else _varlong(len(value)) + value
    body = b"".join(
        (
            b"\x00",
            _varlong(timestamp_delta),
            _varlong(offset_delta),
            key_part,
            value_part,
            _encode_headers(headers) if headers else b"\x00",
        )
    )
    return _varlong(len(body)), body


def unpack(batch: Buffer, bytes_max: int = UNPACKED_BYTES_MAX) -> tuple[BatchHeader, bytes]:
    """The header and the unpacked records of one whole batch. Raises CorruptRecords."""
    view = memoryview(batch)
    if len(view) < HEADER_BYTES:
        raise CorruptRecords(f"{len(view)} bytes do not hold a record batch")
    header = read_batch_header(view, 0)
    if header.magic != MAGIC or header.size_bytes != len(view):
        raise CorruptRecords(
            f"magic {header.magic}, {header.size_bytes} bytes by its length, {len(view)} there"
        )
    try:
        payload = decompress(header.attributes & CODEC_MASK, view[HEADER_BYTES:], bytes_max)
    except CompressionError as fault:
        raise CorruptRecords(str(fault)) from None
    return header, bytes(payload)


def spans(payload: bytes, record_count: int) -> Iterator[Span]:
    """Where each record lies. Raises CorruptRecords unless exactly `record_count` fill it."""
    if record_count < 0 or record_count * RECORD_BYTES_MIN > len(payload):
        raise CorruptRecords(f"{record_count} records do not fit in {len(payload)} bytes")
    position = 0
    for index in range(record_count):
        try:
            span = _span(payload, position)
        except (IndexError, VarintError):
            raise CorruptRecords(f"record {index} runs past the batch") from None
        if span is None:
            raise CorruptRecords(f"record {index} has a length that is not true")
        yield span
        position = span[1]
    if position != len(payload):
        raise CorruptRecords(f"{len(payload) - position} bytes lie behind the last record")


def walk(batch: Buffer, bytes_max: int = UNPACKED_BYTES_MAX) -> Iterator[Record]:
    """The records of one whole batch. Raises CorruptRecords."""
    header, payload = unpack(batch, bytes_max)
    base_offset, base_timestamp = header.base_offset, header.base_timestamp
    append_time = header.max_timestamp if header.attributes & LOG_APPEND_TIME else None
    for span in spans(payload, header.record_count):
        _, _, timestamp_delta, offset_delta, key, key_bytes, value, value_bytes, headers = span
        yield Record(
            base_offset + offset_delta,
            base_timestamp + timestamp_delta if append_time is None else append_time,
            None if key_bytes < 0 else payload[key : key + key_bytes],
            None if value_bytes < 0 else payload[value : value + value_bytes],
            tuple(_headers(payload, span)) if payload[headers] else (),
        )


def check(payload: bytes, record_count: int, *, keys_required: bool) -> Iterator[Refusal | None]:
    """Look at a client's records, headers too; None after each, then why they are refused.

    `keys_required` is for compacted topics. Only INVALID_RECORD comes, and nothing after it.
    """
    try:
        for index, span in enumerate(spans(payload, record_count)):
            if span[3] != index:
                yield Refusal(Code.INVALID_RECORD, f"record {index} has offset delta {span[3]}")
                return
            if keys_required and span[5] < 0:
                yield Refusal(
                    Code.INVALID_RECORD, f"record {index} has no key, and the topic is compacted"
                )
                return
            if payload[span[8]]:
                for _ in _headers(payload, span):
                    yield None
            yield None
    except CorruptRecords as fault:
        yield Refusal(Code.INVALID_RECORD, str(fault))


def _span(payload: bytes, start: int) -> Span | None:
    """The record at `start`, or None where its length is not that of its parts.

    One-byte varints, which most are, are decoded here: a call for each would double the time.
    """
    size, position = read_varint(payload, start)
    end = position + size
    if size < RECORD_BYTES_MIN - 1 or end > len(payload):
        return None
    byte = payload[position + 1]
    if byte < 0x80:
        timestamp_delta = (byte >> 1) ^ -(byte & 1)
        position += 2
    else:
        timestamp_delta, position = read_varlong(payload, position + 1)
    byte = payload[position]
    if byte < 0x80:
        offset_delta = (byte >> 1) ^ -(byte & 1)
        position += 1
    else:
        offset_delta, position = read_varint(payload, position)
    byte = payload[position]
    if byte < 0x80:
        key_bytes = (byte >> 1) ^ -(byte & 1)
        key = position + 1
    else:
        key_bytes, key = read_varint(payload, position)
    value_bytes, value = read_varint(payload, key + key_bytes if key_bytes > 0 else key)
    headers = value + value_bytes if value_bytes > 0 else value
    byte = payload[headers]
    if key_bytes < -1 or value_bytes < -1 or headers >= end or (byte == 0 and headers + 1 != end):
        return None
    return (
        start,
        end,
        timestamp_delta,
        offset_delta,
        key,
        key_bytes,
        value,
        value_bytes,
        headers,
    )


def _headers(payload: bytes, span: Span) -> Iterator[Header]:
    end, start = span[1], span[8]
    try:
        count, position = read_varint(payload, start)
        if count < 0 or 2 * count > end - position:
            raise CorruptRecords(f"{count} record headers do not fit in the record")
        for _ in range(count):
            key_bytes, key = read_varint(payload, position)
            value_bytes, value = read_varint(payload, key + max(key_bytes, 0))
            position = value + max(value_bytes, 0)
            if key_bytes < 0 or value_bytes < -1 or position > end:
                raise CorruptRecords("a record header has a length that is not true")
            yield Header(
                str(payload[key : key + key_bytes], "utf-8", "replace"),
                None if value_bytes < 0 else payload[value:position],
            )
    except (IndexError, VarintError):
        raise CorruptRecords("the record headers run past the batch") from None
    if position != end:
        raise CorruptRecords("the record headers do not end with the record")


def _encode_headers(headers: Iterable[Header]) -> bytes:
    out = bytearray()
    headers = tuple(headers)
    append_varlong(out, len(headers))
    for key, value in headers:
        data = key.encode()
        append_varlong(out, len(data))
        out += data
        if value is None:
            out.append(1)
        else:
            append_varlong(out, len(value))
            out += value
    return bytes(out)


def _varlong(value: int) -> bytes:
    if 0 <= value < _TABLE_SIZE:
        return _TABLE[value]
    out = bytearray()
    append_varlong(out, value)
    return bytes(out)


_TABLE_SIZE: Final = 8192


def _table() -> tuple[bytes, ...]:
    """The varints of most lengths and deltas, made once."""
    table = []
    for value in range(_TABLE_SIZE):
        out = bytearray()
        append_varlong(out, value)
        table.append(bytes(out))
    return tuple(table)


_TABLE: Final = _table()
