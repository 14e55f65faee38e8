"""The 61-byte header of a record batch (magic 2), and the check of a batch from a client.

The broker never looks behind the header on the hot path: a batch is a header and opaque bytes.
Source: KIP-98, org.apache.kafka.common.record.DefaultRecordBatch.

Skipped: a batch whose magic, length or number of batches is wrong is refused with INVALID_RECORD;
Kafka says CORRUPT_MESSAGE, on which clients send it again in vain.
Skipped: a batch with bytes behind it, with a delete horizon or with a log append time of the
client's own is refused; Kafka takes it. No known client sends one.
"""

import struct
from typing import Final, NamedTuple

from crc32c import crc32c
from typing_extensions import Buffer

from headrace.base.errors import Code, Refusal
from headrace.config.topic import LogSettings

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES: Final = HEADER.size
LENGTH_PREFIX_BYTES: Final = 12
"""base offset and length: what the length field does not count."""
CRC_POSITION: Final = 17
CRC_FROM: Final = 21
"""The CRC covers everything from the attributes on, so offset and epoch are stamped freely."""

MAGIC: Final = 2
CODEC_MASK: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
DELETE_HORIZON: Final = 0x40

CODEC_MAX: Final = 4
"""none, gzip, snappy, lz4, zstd"""

NO_PRODUCER_ID: Final = -1
NO_TIMESTAMP: Final = -1
RECORD_BYTES_MIN: Final = 7
"""length, attributes, timestamp and offset deltas, no key, no value, no headers: a byte each"""

_EPOCH_POSITION = 12
_ATTRIBUTES_POSITION = 21
_MAX_TIMESTAMP_POSITION = 35
_BASE_OFFSET = struct.Struct(">q")
_LEADER_EPOCH = struct.Struct(">i")
_ATTRIBUTES = struct.Struct(">h")
_CRC = struct.Struct(">I")


class BatchHeader(NamedTuple):
    """The header's fields in their order on the wire."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole batch."""
        return LENGTH_PREFIX_BYTES + self.length

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1


def read_batch_header(view: Buffer, position: int) -> BatchHeader:
    """The header at `position`, unchecked. The caller knows that 61 bytes are there."""
    return BatchHeader._make(HEADER.unpack_from(view, position))


def check_batch(
    frame: memoryview, start: int, end: int, settings: LogSettings, now_ms: int
) -> BatchHeader | Refusal:
    """The header of the one batch a client sent in `frame[start:end]`, or why it is refused. HOT.

    The order and the codes are Kafka's (ProduceRequest.validateRecords, UnifiedLog, LogValidator);
    where Kafka looks into records for it (timestamps), this looks at the header.
    """
    size = end - start
    if size < HEADER_BYTES:
        return Refusal(Code.INVALID_RECORD, f"{size} bytes do not hold a record batch")
    header = BatchHeader._make(HEADER.unpack_from(frame, start))
    (base_offset, length, _, magic, crc, attributes, last_offset_delta) = header[:7]
    (base_timestamp, max_timestamp, producer_id, _, base_sequence, record_count) = header[7:]
    if magic != MAGIC:
        return Refusal(Code.INVALID_RECORD, f"magic {magic}: only record batches of magic 2 can be")
    if length != size - LENGTH_PREFIX_BYTES:
        return _bad_length(size, length)
    if base_offset != 0:
        return Refusal(Code.INVALID_RECORD, f"a sent batch has base offset 0, not {base_offset}")
    if size > settings.max_message_bytes:
        most = settings.max_message_bytes
        return Refusal(Code.MESSAGE_TOO_LARGE, f"a batch of {size} bytes; the topic takes {most}")
    if size > settings.segment_bytes:
        most = settings.segment_bytes
        return Refusal(Code.RECORD_LIST_TOO_LARGE, f"a batch of {size} bytes; segments take {most}")
    if crc32c(frame[start + CRC_FROM : end]) != crc:
        return Refusal(Code.CORRUPT_MESSAGE, "the batch does not match its CRC")
    if record_count <= 0 or last_offset_delta != record_count - 1:
        return Refusal(
            Code.INVALID_RECORD, f"{record_count} records with last offset {last_offset_delta}"
        )
    if not 0 <= attributes <= CODEC_MAX:
        refusal = _refused_attributes(attributes)
        if refusal is not None:
            return refusal
    if not attributes & CODEC_MASK and record_count * RECORD_BYTES_MIN > size - HEADER_BYTES:
        return Refusal(Code.INVALID_RECORD, f"{record_count} records do not fit in {size} bytes")
    if producer_id >= 0 and base_sequence < 0:
        return Refusal(Code.INVALID_RECORD, f"producer {producer_id} sent sequence {base_sequence}")
    if max_timestamp > now_ms + settings.message_timestamp_after_max_ms or (
        base_timestamp < now_ms - settings.message_timestamp_before_max_ms
        and base_timestamp != NO_TIMESTAMP
    ):
        refusal = _bad_time(header, settings, now_ms)
        if refusal is not None:
            return refusal
    return header


def stamp(view: Buffer, position: int, base_offset: int, leader_epoch: int) -> None:
    """Write what the leader gives a batch, in place. The CRC does not cover it."""
    _BASE_OFFSET.pack_into(view, position, base_offset)
    _LEADER_EPOCH.pack_into(view, position + _EPOCH_POSITION, leader_epoch)


def set_append_time(view: memoryview, position: int, now_ms: int) -> None:
    """Give a batch the broker's time: every record then reads as appended at `now_ms`."""
    header = read_batch_header(view, position)
    attributes = header.attributes | LOG_APPEND_TIME
    _ATTRIBUTES.pack_into(view, position + _ATTRIBUTES_POSITION, attributes)
    _BASE_OFFSET.pack_into(view, position + _MAX_TIMESTAMP_POSITION, now_ms)
    set_crc(view, position, position + header.size_bytes)


def set_crc(view: memoryview, position: int, end: int) -> None:
    """Write the CRC of the batch that fills `view[position:end]`."""
    _CRC.pack_into(view, position + CRC_POSITION, crc32c(view[position + CRC_FROM : end]))


def _bad_length(size: int, length: int) -> Refusal:
    """Kafka calls a batch that is too short for its own header corrupt, others invalid."""
    sent = length + LENGTH_PREFIX_BYTES
    if sent < HEADER_BYTES:
        return Refusal(Code.CORRUPT_MESSAGE, f"a batch that says it has {sent} bytes")
    return Refusal(
        Code.INVALID_RECORD, f"one whole batch is needed; it says {sent} bytes, {size} were sent"
    )


def _refused_attributes(attributes: int) -> Refusal | None:
    if attributes & CODEC_MASK > CODEC_MAX:
        codec = attributes & CODEC_MASK
        return Refusal(Code.UNSUPPORTED_COMPRESSION_TYPE, f"compression codec {codec} is unknown")
    if attributes & CONTROL:
        return Refusal(Code.INVALID_RECORD, "clients may not write control batches")
    if attributes & TRANSACTIONAL:
        return Refusal(Code.INVALID_TXN_STATE, "this broker has no transactions yet")
    if attributes & LOG_APPEND_TIME:
        return Refusal(Code.INVALID_TIMESTAMP, "only the broker may set log append time")
    if attributes & DELETE_HORIZON:
        return Refusal(Code.INVALID_RECORD, "only the broker may set a delete horizon")
    return None


def _bad_time(header: BatchHeader, settings: LogSettings, now_ms: int) -> Refusal | None:
    if settings.message_timestamp_type == "LogAppendTime":
        return None
    before = now_ms - settings.message_timestamp_before_max_ms
    after = now_ms + settings.message_timestamp_after_max_ms
    return Refusal(
        Code.INVALID_TIMESTAMP,
        f"timestamps {header.base_timestamp} to {header.max_timestamp} are not all within "
        f"{before} to {after}, as message.timestamp.before.max.ms and after.max.ms ask",
    )
