"""A segment file read from batch to batch, with what is wrong with it. No broker is needed.

Reads only, so it may run beside a broker; the end of the active segment is then a moving one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from crc32c import crc32c

from headrace.storage.names import LOG, offset_of, partition_of
from headrace.wire.batch import (
    CODEC_MASK,
    CONTROL,
    CRC_FROM,
    HEADER_BYTES,
    LENGTH_PREFIX_BYTES,
    LOG_APPEND_TIME,
    MAGIC,
    TRANSACTIONAL,
    BatchHeader,
    read_batch_header,
)
from headrace.wire.compression import CODECS
from headrace.wire.offsets_topic import (
    GroupKey,
    OffsetKey,
    UnknownKey,
    UnreadableRecord,
    decode_group,
    decode_key,
    decode_offset,
)
from headrace.wire.records import CorruptRecords, Record, walk

_CODEC_NAMES = {number: name for name, number in CODECS.items()}
_OFFSETS_TOPIC = "__consumer_offsets"


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpedBatch:
    """One batch: where it lies, its header, its bytes, and what is wrong with it."""

    position: int
    header: BatchHeader
    data: bytes
    fault: str | None

    @property
    def codec(self) -> str:
        number = self.header.attributes & CODEC_MASK
        return _CODEC_NAMES.get(number, f"unknown {number}")

    @property
    def flags(self) -> list[str]:
        """What the attributes say beside the codec."""
        names = {LOG_APPEND_TIME: "append-time", TRANSACTIONAL: "transactional", CONTROL: "control"}
        return [name for bit, name in names.items() if self.header.attributes & bit]

    def records(self) -> list[Record]:
        """Its records. Raises CorruptRecords."""
        return list(walk(self.data))


def segment_files(path: Path) -> list[Path]:
    """The segment itself, or those of a partition's folder in order."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.iterdir() if offset_of(p.name, LOG) is not None)


def is_offsets_topic(path: Path) -> bool:
    """Whether the file's records are a coordinator's."""
    named = partition_of(path.parent.name)
    return named is not None and named[0] == _OFFSETS_TOPIC


def dump_segment(path: Path) -> Iterator[DumpedBatch | str]:
    """The batches of a segment in order; a sentence where the file cannot be read further."""
    size = path.stat().st_size
    expected = offset_of(path.name, LOG) or 0
    position = 0
    with path.open("rb") as file:
        while position < size:
            read = _read_batch(file, position, size, expected)
            yield read
            if isinstance(read, str):
                return
            expected = read.header.next_offset
            position += read.header.size_bytes


def _read_batch(file: BinaryIO, position: int, size: int, expected: int) -> DumpedBatch | str:
    file.seek(position)
    head = file.read(HEADER_BYTES)
    if not any(head):
        return f"zeros from byte {position} on: preallocated, or never written"
    if len(head) < HEADER_BYTES:
        return f"the file ends inside a batch header at byte {position}"
    header = read_batch_header(head, 0)
    if header.magic != MAGIC or header.length < HEADER_BYTES - LENGTH_PREFIX_BYTES:
        return f"no batch at byte {position}: magic {header.magic}, length {header.length}"
    if position + header.size_bytes > size:
        return f"the file ends inside the batch at byte {position}"
    data = head + file.read(header.size_bytes - HEADER_BYTES)
    fault = None
    if crc32c(memoryview(data)[CRC_FROM:]) != header.crc:
        fault = "its checksum does not match"
    elif header.base_offset < expected:
        fault = f"offset {header.base_offset} comes after {expected - 1}"
    return DumpedBatch(position=position, header=header, data=data, fault=fault)


def batch_fields(batch: DumpedBatch, *, deep: bool, decode: bool) -> dict[str, Any]:
    """A batch as JSON; `deep` with its records, `decode` reading a coordinator's."""
    header = batch.header
    fields: dict[str, Any] = {
        "position": batch.position,
        "size_bytes": header.size_bytes,
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "records": header.record_count,
        "codec": batch.codec,
        "flags": batch.flags,
        "leader_epoch": header.leader_epoch,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "crc": header.crc,
        "fault": batch.fault,
    }
    if deep and batch.fault is None:
        try:
            fields["content"] = [_record_fields(r, decode=decode) for r in batch.records()]
        except CorruptRecords as error:
            fields["fault"] = str(error)
    return fields


def _record_fields(record: Record, *, decode: bool) -> dict[str, Any]:
    return {
        "offset": record.offset,
        "timestamp": record.timestamp,
        **(_decoded(record) if decode else _plain(record)),
        "headers": [[h.key, None if h.value is None else _text(h.value)] for h in record.headers],
    }


def _plain(record: Record) -> dict[str, Any]:
    return {
        "key": None if record.key is None else _text(record.key),
        "value": None if record.value is None else _text(record.value),
    }


def _decoded(record: Record) -> dict[str, Any]:
    """A record of __consumer_offsets in words."""
    try:
        key = decode_key(record.key or b"")
        if isinstance(key, UnknownKey):
            return _plain(record)
        named = f"group {key.group_id}"
        value = None
        if isinstance(key, OffsetKey):
            named += f", {key.topic}-{key.partition}"
            if record.value is not None:
                value = f"offset {decode_offset(record.value).offset}"
        elif isinstance(key, GroupKey) and record.value is not None:
            group = decode_group(record.value)
            value = f"generation {group.generation}, {len(group.members)} members"
        return {"key": named, "value": value}
    except UnreadableRecord:
        return _plain(record)


def _text(data: bytes) -> str:
    """Bytes for people; what is not text shows as escapes."""
    return data.decode("utf-8", "backslashreplace")
