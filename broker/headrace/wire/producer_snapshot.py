"""The `.snapshot` file of a partition: what its log knew of its producers at one offset.

Version (int16), CRC32C of all that follows (uint32), count (int32), then 46 bytes a producer.
Source: Kafka's ProducerStateManager, snapshot version 1.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from crc32c import crc32c
from typing_extensions import Buffer

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">hI")
_COUNT: Final = struct.Struct(">i")
_ENTRY: Final = struct.Struct(">qhiqiqiq")


class CorruptSnapshot(Exception):
    """The bytes are not a whole producer snapshot; the state is rebuilt from the log instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerEntry:
    """The last batch of one producer.

    `last_sequence` and `last_offset` are -1 where only a transaction marker was seen;
    `offset_delta` is last minus first offset of the batch; `timestamp` is in milliseconds.
    """

    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int
    coordinator_epoch: int = -1
    current_txn_first_offset: int = -1


def encode_snapshot(entries: Iterable[ProducerEntry]) -> bytes:
    """The bytes of the file."""
    packed = [
        _ENTRY.pack(
            entry.producer_id,
            entry.producer_epoch,
            entry.last_sequence,
            entry.last_offset,
            entry.offset_delta,
            entry.timestamp,
            entry.coordinator_epoch,
            entry.current_txn_first_offset,
        )
        for entry in entries
    ]
    body = _COUNT.pack(len(packed)) + b"".join(packed)
    return _HEAD.pack(_VERSION, crc32c(body)) + body


def decode_snapshot(data: Buffer) -> list[ProducerEntry]:
    """The entries in the file's order. Raises CorruptSnapshot."""
    view = memoryview(data)
    if len(view) < _HEAD.size + _COUNT.size:
        raise CorruptSnapshot(f"a producer snapshot of {len(view)} bytes is too short")
    version, crc = _HEAD.unpack_from(view)
    if version != _VERSION:
        raise CorruptSnapshot(f"unknown producer snapshot version {version}")
    body = view[_HEAD.size :]
    if crc32c(body) != crc:
        raise CorruptSnapshot("the CRC of the producer snapshot does not match")
    (count,) = _COUNT.unpack_from(body)
    entries = body[_COUNT.size :]
    if count < 0 or len(entries) != count * _ENTRY.size:
        raise CorruptSnapshot(f"{count} producers do not fit in {len(entries)} bytes")
    return [
        ProducerEntry(
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            last_sequence=last_sequence,
            last_offset=last_offset,
            offset_delta=offset_delta,
            timestamp=timestamp,
            coordinator_epoch=coordinator_epoch,
            current_txn_first_offset=current_txn_first_offset,
        )
        for (
            producer_id,
            producer_epoch,
            last_sequence,
            last_offset,
            offset_delta,
            timestamp,
            coordinator_epoch,
            current_txn_first_offset,
        ) in _ENTRY.iter_unpack(entries)
    ]
