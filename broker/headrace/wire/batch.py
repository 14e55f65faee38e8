"""The 61-byte header of a record batch (magic 2), and the check of a batch from a client.

The broker never looks behind the header on the hot path: a batch is a header and opaque bytes.
Source: KIP-98, org.apache.kafka.common.record.DefaultRecordBatch.
"""

import struct
from typing import Final, NamedTuple

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

NO_PRODUCER_ID: Final = -1
NO_TIMESTAMP: Final = -1


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
