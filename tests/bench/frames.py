"""Frames made once and sent many times: Produce v12, Fetch v12 and what their answers look like.

Both are the newest versions that name topics by name. Written by hand from Kafka's message
schemas, and on purpose without `headrace.wire`: a benchmark must not share the broker's mistakes.
"""

import struct
import time
from dataclasses import dataclass
from random import Random

import crc32c

PRODUCE, FETCH = 0, 1
PRODUCE_VERSION, FETCH_VERSION = 12, 12
CLIENT_ID = b"bench"
BATCH_OVERHEAD = 61
CORRELATION_ID_POSITION = 8
# Of one partition in a ProduceResponse: index, error code, base offset, log append time, log
# start offset, then an empty array of record errors, a null message and no tagged fields.
PARTITION_ANSWER = "ihqqqBBB"
PARTITION_FIELDS = len(PARTITION_ANSWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One record batch (magic 2), uncompressed, without producer id."""

    data: bytes
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceFrame:
    """A Produce request with acks=all and the exact shape of the answer that means success."""

    data: bytes
    answer: struct.Struct
    first_error_position: int
    partitions: int
    batch: Batch

    @property
    def records(self) -> int:
        """Records a request carries."""
        return self.partitions * self.batch.records

    @property
    def batch_bytes(self) -> int:
        """Bytes of record batches a request carries: what the broker has to store."""
        return self.partitions * len(self.batch.data)


def unsigned_varint(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """A signed varint as inside a record."""
    return unsigned_varint((value << 1) ^ (value >> 63))


def make_batch(value_bytes: int, batch_bytes: int, *, keys: int = 0, seed: int = 1) -> Batch:
    """A batch of as many records with `value_bytes` of incompressible value as fit.

    batch_bytes: the most the whole batch may take; it holds one record even if that is larger
    keys:        with 0 records have no key, else record i has key (i mod keys), 8 bytes
    """
    source = Random(seed)
    body, count = bytearray(), 0
    while True:
        key = b"%08d" % source.randrange(keys) if keys else None
        record = _record(count, key, source.randbytes(value_bytes))
        if count and BATCH_OVERHEAD + len(body) + len(record) > batch_bytes:
            break
        body += record
        count += 1
    now_ms = int(time.time() * 1000)
    head = struct.pack(">hiqqqhii", 0, count - 1, now_ms, now_ms, -1, -1, -1, count)
    checked = head + bytes(body)
    front = struct.pack(">qiibI", 0, 9 + len(checked), -1, 2, crc32c.crc32c(checked))
    return Batch(data=front + checked, records=count)


def _record(offset_delta: int, key: bytes | None, value: bytes) -> bytes:
    keyed = zigzag(-1) if key is None else zigzag(len(key)) + key
    inner = b"\0" + zigzag(0) + zigzag(offset_delta) + keyed
    inner += zigzag(len(value)) + value + zigzag(0)
    return zigzag(len(inner)) + inner


def produce_frame(topic: str, batch: Batch, partitions: int = 1) -> ProduceFrame:
    """A request that carries `batch` once for each of the partitions 0 .. partitions - 1."""
    name = topic.encode()
    records = unsigned_varint(len(batch.data) + 1) + batch.data + b"\0"
    body = bytearray(b"\0" + struct.pack(">hi", -1, 30_000) + unsigned_varint(2))
    body += unsigned_varint(len(name) + 1) + name + unsigned_varint(partitions + 1)
    for index in range(partitions):
        body += struct.pack(">i", index) + records
    body += b"\0\0"
    counted = len(unsigned_varint(partitions + 1))
    front = f">iiBBB{len(name)}s{counted}s"
    return ProduceFrame(
        data=_framed(PRODUCE, PRODUCE_VERSION, bytes(body)),
        answer=struct.Struct(front + PARTITION_ANSWER * partitions + "BiB"),
        first_error_position=struct.calcsize(front + "i"),
        partitions=partitions,
        batch=batch,
    )


# Where the values of an answer's first partition begin once ProduceFrame.answer has unpacked it.
FIRST_PARTITION_FIELD = 7


def fetch_frame(topic: str, offset: int, max_bytes: int, correlation_id: int) -> bytes:
    """A sessionless Fetch of partition 0 from `offset` with at most `max_bytes`."""
    name = topic.encode()
    body = struct.pack(">iiiibii", -1, 500, 1, max_bytes, 0, 0, -1) + unsigned_varint(2)
    body += unsigned_varint(len(name) + 1) + name + unsigned_varint(2)
    body += struct.pack(">iiqiqi", 0, -1, offset, -1, -1, max_bytes) + b"\0\0"
    body += unsigned_varint(1) + unsigned_varint(1) + b"\0"
    return _framed(FETCH, FETCH_VERSION, body, correlation_id)


def _framed(api_key: int, version: int, body: bytes, correlation_id: int = 0) -> bytes:
    header = struct.pack(">hhih", api_key, version, correlation_id, len(CLIENT_ID)) + CLIENT_ID
    request = header + b"\0" + body
    return struct.pack(">i", len(request)) + request
