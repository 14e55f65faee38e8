"""Fetch v4-v18, by hand. The answer is a list of chunks, so record bytes are never copied.

Checked against kio in every version (tests/laws/test_wire_fetch.py).
"""

import struct
from collections.abc import Sequence, Sized
from typing import Any, Final, NamedTuple

from headrace.base.units import INT32_MAX
from headrace.wire.framing import ProtocolError, skip_tagged_fields
from headrace.wire.primitive import (
    INT32,
    NodeEndpoint,
    Topic,
    count_bytes,
    endpoint_tags,
    read_count,
    read_string,
    read_topic,
    tagged_field,
    tagged_fields,
    topic_bytes,
)
from headrace.wire.varint import VarintError, uvarint

SESSIONS_FROM: Final = 7
RACK_FROM: Final = 11
FLEXIBLE_FROM: Final = 12
TOPIC_IDS_FROM: Final = 13
REPLICA_STATE_FROM: Final = 15
ENDPOINTS_FROM: Final = 16

CONSUMER: Final = -1
"""The replica id of whoever is not a follower."""

_LIMITS = struct.Struct(">iiib")
_SESSION = struct.Struct(">ii")
_PARTITION_V4 = struct.Struct(">iqi")
_PARTITION_V5 = struct.Struct(">iqqi")
_PARTITION_V9 = struct.Struct(">iiqqi")
_PARTITION_V12 = struct.Struct(">iiqiqi")
_REPLICA_STATE = struct.Struct(">iq")
_CLUSTER_ID_TAG: Final = 0
_REPLICA_STATE_TAG: Final = 1

_HEAD_V4 = struct.Struct(">iii")
_HEAD_V7 = struct.Struct(">iiihi")
_HEAD_V12 = struct.Struct(">iixihi")
_ANSWER_V4 = struct.Struct(">ihqq")
_ANSWER_V5 = struct.Struct(">ihqqq")
_ABORTED = struct.Struct(">qq")
_DIVERGING = struct.Struct(">iqx")
_LEADER = struct.Struct(">iix")
_DIVERGING_TAG: Final = 0
_CURRENT_LEADER_TAG: Final = 1


class FetchPartition(NamedTuple):
    """What is asked of one partition; -1 where the version has no such field."""

    partition: int
    current_leader_epoch: int
    fetch_offset: int
    last_fetched_epoch: int
    log_start_offset: int
    partition_max_bytes: int


class FetchRequest(NamedTuple):
    """A parsed request. `forgotten` are the partitions that leave the session."""

    replica_id: int
    replica_epoch: int
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    session_id: int
    session_epoch: int
    topics: list[tuple[Topic, list[FetchPartition]]]
    forgotten: list[tuple[Topic, list[int]]]
    rack_id: str
    cluster_id: str | None


class Fetched(NamedTuple):
    """One partition's answer. `records` is None for null, which Kafka never sends; else bytes, or
    anything with a length that the connection can send.

    `aborted` are (producer id, first offset), None unless the reader asked for committed ones;
    `diverging` is (epoch, end offset), `leader` is (id, epoch).
    """

    partition: int
    code: int
    high_watermark: int = -1
    last_stable_offset: int = -1
    log_start_offset: int = -1
    records: Sized | None = b""
    aborted: Sequence[tuple[int, int]] | None = None
    preferred_read_replica: int = -1
    diverging: tuple[int, int] | None = None
    leader: tuple[int, int] | None = None


def read_fetch(version: int, frame: memoryview, position: int) -> FetchRequest:
    """The request whose body starts at `position`. HOT. Raises ProtocolError."""
    try:
        return _read(version, frame, position)
    except (struct.error, IndexError):
        why = "the frame ends inside the message"
    except VarintError as fault:
        why = str(fault)
    except UnicodeDecodeError:
        why = "a string is not UTF-8"
    raise ProtocolError(f"Fetch v{version}: {why}")


def _read(version: int, frame: memoryview, position: int) -> FetchRequest:
    flexible, by_id = version >= FLEXIBLE_FROM, version >= TOPIC_IDS_FROM
    replica_id, replica_epoch = CONSUMER, -1
    if version < REPLICA_STATE_FROM:
        (replica_id,) = INT32.unpack_from(frame, position)
        position += 4
    max_wait_ms, min_bytes, max_bytes, isolation_level = _LIMITS.unpack_from(frame, position)
    position += _LIMITS.size
    session_id, session_epoch = 0, -1
    if version >= SESSIONS_FROM:
        session_id, session_epoch = _SESSION.unpack_from(frame, position)
        position += _SESSION.size
    count, position = read_count(frame, position, flexible, 3)
    topics: list[tuple[Topic, list[FetchPartition]]] = []
    for _ in range(count):
        topic, position = read_topic(frame, position, flexible, by_id)
        partitions, position = _read_partitions(version, frame, position)
        topics.append((topic, partitions))
    forgotten: list[tuple[Topic, list[int]]] = []
    if version >= SESSIONS_FROM:
        count, position = read_count(frame, position, flexible, 3)
        for _ in range(count):
            topic, position = read_topic(frame, position, flexible, by_id)
            indexes, position = _read_indexes(frame, position, flexible)
            forgotten.append((topic, indexes))
    rack_id: str | None = ""
    if version >= RACK_FROM:
        rack_id, position = read_string(frame, position, flexible)
        if rack_id is None:
            raise ProtocolError(f"Fetch v{version}: the rack id has no value")
    cluster_id = None
    if flexible:
        for tag, start, end in tagged_fields(frame, position):
            if tag == _CLUSTER_ID_TAG:
                cluster_id, _ = read_string(frame[:end], start, True)
            elif tag == _REPLICA_STATE_TAG and version >= REPLICA_STATE_FROM:
                replica_id, replica_epoch = _REPLICA_STATE.unpack_from(frame[:end], start)
    return FetchRequest(
        replica_id,
        replica_epoch,
        max_wait_ms,
        min_bytes,
        max_bytes,
        isolation_level,
        session_id,
        session_epoch,
        topics,
        forgotten,
        rack_id or "",
        cluster_id,
    )


def _read_partitions(
    version: int, frame: memoryview, position: int
) -> tuple[list[FetchPartition], int]:
    """The tagged fields of a partition (KIP-853, KIP-1166) are for followers of metadata alone."""
    partitions = []
    if version >= FLEXIBLE_FROM:
        count, position = read_count(frame, position, True, _PARTITION_V12.size + 1)
        for _ in range(count):
            partitions.append(FetchPartition._make(_PARTITION_V12.unpack_from(frame, position)))
            position += _PARTITION_V12.size
            position = skip_tagged_fields(frame, position) if frame[position] else position + 1
        position = skip_tagged_fields(frame, position)
        return partitions, position
    layout = _PARTITION_V4 if version < 5 else _PARTITION_V5 if version < 9 else _PARTITION_V9
    count, position = read_count(frame, position, False, layout.size)
    for _ in range(count):
        partition, *middle, max_bytes = layout.unpack_from(frame, position)
        position += layout.size
        if version < 5:
            middle = [-1, middle[0], -1]
        elif version < 9:
            middle.insert(0, -1)
        leader_epoch, fetch_offset, log_start_offset = middle
        partitions.append(
            FetchPartition(partition, leader_epoch, fetch_offset, -1, log_start_offset, max_bytes)
        )
    return partitions, position


def _read_indexes(frame: memoryview, position: int, flexible: bool) -> tuple[list[int], int]:
    count, position = read_count(frame, position, flexible, 4)
    indexes = list(struct.unpack_from(f">{count}i", frame, position))
    position += 4 * count
    return indexes, skip_tagged_fields(frame, position) if flexible else position


def write_fetch(
    version: int,
    correlation_id: int,
    topics: Sequence[tuple[Topic, Sequence[Fetched]]],
    *,
    code: int = 0,
    session_id: int = 0,
    throttle_time_ms: int = 0,
    endpoints: Sequence[NodeEndpoint] = (),
) -> list[Any]:
    """The whole answer as chunks to be written in order; records are chunks of their own. HOT."""
    flexible = version >= FLEXIBLE_FROM
    out = bytearray(_head(version, correlation_id, throttle_time_ms, code, session_id))
    out += count_bytes(len(topics), flexible)
    chunks: list[Any] = [out]
    total = 0
    for topic, partitions in topics:
        out += topic_bytes(topic, flexible)
        out += count_bytes(len(partitions), flexible)
        for answer in partitions:
            _append_answer(out, version, flexible, answer)
            records = answer.records
            if records:
                total += len(out) + len(records)
                out = bytearray()
                chunks += (records, out)
            if flexible:
                if answer.diverging is None and answer.leader is None:
                    out.append(0)
                else:
                    out += _partition_tags(answer)
        if flexible:
            out.append(0)
    if flexible:
        out += endpoint_tags(endpoints) if version >= ENDPOINTS_FROM else b"\x00"
    total += len(out) - 4
    if total > INT32_MAX:
        raise OverflowError(f"a Fetch answer of {total} bytes cannot be sent")
    INT32.pack_into(chunks[0], 0, total)
    return chunks


def _head(
    version: int, correlation_id: int, throttle_time_ms: int, code: int, session_id: int
) -> bytes:
    if version < SESSIONS_FROM:
        return _HEAD_V4.pack(0, correlation_id, throttle_time_ms)
    head = _HEAD_V7 if version < FLEXIBLE_FROM else _HEAD_V12
    return head.pack(0, correlation_id, throttle_time_ms, code, session_id)


def _append_answer(out: bytearray, version: int, flexible: bool, answer: Fetched) -> None:
    partition, code, high_watermark, stable, start, records, aborted, preferred, _, _ = answer
    if version < 5:
        out += _ANSWER_V4.pack(partition, code, high_watermark, stable)
    else:
        out += _ANSWER_V5.pack(partition, code, high_watermark, stable, start)
    if aborted is None:
        out += b"\x00" if flexible else b"\xff\xff\xff\xff"
    else:
        out += count_bytes(len(aborted), flexible)
        for producer_id, first_offset in aborted:
            out += _ABORTED.pack(producer_id, first_offset)
            if flexible:
                out.append(0)
    if version >= RACK_FROM:
        out += INT32.pack(preferred)
    if records is None:
        out += b"\x00" if flexible else b"\xff\xff\xff\xff"
    else:
        out += uvarint(len(records) + 1) if flexible else INT32.pack(len(records))


def _partition_tags(answer: Fetched) -> bytes:
    """Default values are left out, as Kafka does."""
    tags = []
    if answer.diverging is not None and answer.diverging != (-1, -1):
        tags.append(tagged_field(_DIVERGING_TAG, _DIVERGING.pack(*answer.diverging)))
    if answer.leader is not None and answer.leader != (-1, -1):
        tags.append(tagged_field(_CURRENT_LEADER_TAG, _LEADER.pack(*answer.leader)))
    return uvarint(len(tags)) + b"".join(tags)
