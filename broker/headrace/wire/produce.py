"""Produce v3-v13, by hand: a request is parsed down to where its record batches lie.

Checked against kio in every version (tests/laws/test_wire_produce.py).
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

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
    string_bytes,
    tagged_field,
    topic_bytes,
)
from headrace.wire.varint import VarintError, read_uvarint

FLEXIBLE_FROM: Final = 9
LEADERS_FROM: Final = 10
TOPIC_IDS_FROM: Final = 13
PARTITIONS_MAX: Final = 100_000
"""In one request, over all topics: empty ones cost 8 bytes of a frame and a microsecond each."""

_ACKS_TIMEOUT = struct.Struct(">hi")
_ONE_HEAD = struct.Struct(">BhiBB")
_ONE_PARTITION = struct.Struct(">BiBBBB")
_NO_TAGS: Final = memoryview(bytes(3))
"""of the partition, the topic and the request"""
_PARTITION_LEGACY = struct.Struct(">ii")
_HEAD = struct.Struct(">ii")
_ONE_ANSWER_HEAD = struct.Struct(">iiBB")
_ONE_ANSWER_TAIL = struct.Struct(">BiB")
_ANSWER_V3 = struct.Struct(">ihqq")
_ANSWER_V5 = struct.Struct(">ihqqq")
_CURRENT_LEADER_TAG: Final = 0
_LEADER_ID_EPOCH = struct.Struct(">iix")


class ProduceRequest(NamedTuple):
    """A parsed request. A partition is (its index, start, end) of its records in the frame.

    Null records are an empty range, which the check of the batch refuses.
    """

    transactional_id: str | None
    acks: int
    timeout_ms: int
    topics: list[tuple[Topic, list[tuple[int, int, int]]]]


class Produced(NamedTuple):
    """One partition's answer. `leader` is (id, epoch), told where this broker is not the leader."""

    partition: int
    code: int
    base_offset: int = -1
    log_append_time_ms: int = -1
    log_start_offset: int = -1
    error_message: str | None = None
    record_errors: Sequence[tuple[int, str | None]] = ()
    leader: tuple[int, int] | None = None


def read_produce(version: int, frame: memoryview, position: int) -> ProduceRequest:
    """The request whose body starts at `position`. HOT. Raises ProtocolError."""
    try:
        if version >= FLEXIBLE_FROM:
            by_id = version >= TOPIC_IDS_FROM
            return _read_one(frame, position, by_id) or _read_flexible(frame, position, by_id)
        return _read_legacy(frame, position)
    except (struct.error, IndexError):
        why = "the frame ends inside the message"
    except VarintError as fault:
        why = str(fault)
    except UnicodeDecodeError:
        why = "a string is not UTF-8"
    raise ProtocolError(f"Produce v{version}: {why}")


def _read_one(frame: memoryview, position: int, by_id: bool) -> ProduceRequest | None:
    """The common request in three unpacks: one topic, one partition, no transaction, no tags.

    None where it is anything else, sane or not: the general reader then says what.
    """
    transactional, acks, timeout_ms, topics, size = _ONE_HEAD.unpack_from(frame, position)
    if transactional or topics != 2:
        return None
    topic: Topic
    if by_id:
        topic = bytes(frame[position + 8 : position + 24])
        position += 24
    else:
        if not 0 < size < 0x80:
            return None
        topic = str(frame[position + 9 : position + 8 + size], "utf-8")
        position += 8 + size
    if position + _ONE_PARTITION.size > len(frame):
        return None
    partitions, partition, low, middle, high, top = _ONE_PARTITION.unpack_from(frame, position)
    if low < 0x80 or partitions != 2:
        return None
    if middle < 0x80:
        size = low & 0x7F | middle << 7
        start = position + 7
    elif high < 0x80:
        size = low & 0x7F | (middle & 0x7F) << 7 | high << 14
        start = position + 8
    elif top < 0x80:
        size = low & 0x7F | (middle & 0x7F) << 7 | (high & 0x7F) << 14 | top << 21
        start = position + 9
    else:
        return None
    end = start + size - 1
    if frame[end : end + 3] != _NO_TAGS:
        return None
    return ProduceRequest(None, acks, timeout_ms, [(topic, [(partition, start, end)])])


def _read_flexible(frame: memoryview, position: int, by_id: bool) -> ProduceRequest:
    """Varints of one byte, which nearly all are, are read without a call."""
    transactional_id = None
    if frame[position]:
        transactional_id, position = read_string(frame, position, True)
    else:
        position += 1
    acks, timeout_ms = _ACKS_TIMEOUT.unpack_from(frame, position)
    position += 6
    topic_count, position = _count(frame, position, 3)
    topics: list[tuple[Topic, list[tuple[int, int, int]]]] = []
    total = 0
    for _ in range(topic_count):
        size = frame[position]
        if by_id or not 0 < size < 0x80:
            topic, position = read_topic(frame, position, True, by_id)
        else:
            topic = str(frame[position + 1 : position + size], "utf-8")
            position += size
        partition_count, position = _count(frame, position, 6)
        total = _within(total + partition_count)
        partitions = []
        for _ in range(partition_count):
            (index,) = INT32.unpack_from(frame, position)
            size, start = read_uvarint(frame, position + 4)
            end = start + size - 1 if size else start
            partitions.append((index, start, end))
            # Also catches a size that runs past the frame.
            position = skip_tagged_fields(frame, end) if frame[end] else end + 1
        topics.append((topic, partitions))
        position = skip_tagged_fields(frame, position) if frame[position] else position + 1
    skip_tagged_fields(frame, position)
    return ProduceRequest(transactional_id, acks, timeout_ms, topics)


def _within(partitions: int) -> int:
    if partitions > PARTITIONS_MAX:
        raise ProtocolError(f"{partitions} partitions in one Produce (most {PARTITIONS_MAX})")
    return partitions


def _count(frame: memoryview, position: int, item_bytes_min: int) -> tuple[int, int]:
    count = frame[position]
    if 0 < count < 0x80:
        return count - 1, position + 1
    return read_count(frame, position, True, item_bytes_min)


def _read_legacy(frame: memoryview, position: int) -> ProduceRequest:
    transactional_id, position = read_string(frame, position, False)
    acks, timeout_ms = _ACKS_TIMEOUT.unpack_from(frame, position)
    topic_count, position = read_count(frame, position + 6, False, 6)
    topics: list[tuple[Topic, list[tuple[int, int, int]]]] = []
    total = 0
    for _ in range(topic_count):
        topic, position = read_topic(frame, position, False, False)
        partition_count, position = read_count(frame, position, False, 8)
        total = _within(total + partition_count)
        partitions = []
        for _ in range(partition_count):
            index, size = _PARTITION_LEGACY.unpack_from(frame, position)
            start = position + 8
            if size < -1:
                raise ProtocolError(f"Produce: records have length {size}")
            position = start + max(size, 0)
            if position > len(frame):
                raise ProtocolError(f"Produce: records of {size} bytes run past the frame")
            partitions.append((index, start, position))
        topics.append((topic, partitions))
    return ProduceRequest(transactional_id, acks, timeout_ms, topics)


def write_produce(
    version: int,
    correlation_id: int,
    topics: Sequence[tuple[Topic, Sequence[Produced]]],
    throttle_time_ms: int = 0,
    endpoints: Sequence[NodeEndpoint] = (),
) -> bytes:
    """The whole answer, size prefix and header included. HOT.

    Topics are named as in the request. `endpoints` are those of the leaders told.
    """
    flexible = version >= FLEXIBLE_FROM
    if flexible and len(topics) == 1 and not endpoints and len(topics[0][1]) == 1:
        topic, (answer,) = topics[0]
        body = topic_bytes(topic, True) + b"\x02" + _answer(version, True, answer)
        head = _ONE_ANSWER_HEAD.pack(len(body) + 12, correlation_id, 0, 2)
        return head + body + _ONE_ANSWER_TAIL.pack(0, throttle_time_ms, 0)
    parts = [b"", b"\x00" if flexible else b"", count_bytes(len(topics), flexible)]
    for topic, partitions in topics:
        parts += (topic_bytes(topic, flexible), count_bytes(len(partitions), flexible))
        parts += [_answer(version, flexible, answer) for answer in partitions]
        if flexible:
            parts.append(b"\x00")
    parts.append(INT32.pack(throttle_time_ms))
    if flexible:
        parts.append(endpoint_tags(endpoints) if version >= LEADERS_FROM else b"\x00")
    size = sum(map(len, parts)) + 4
    parts[0] = _HEAD.pack(size, correlation_id)
    return b"".join(parts)


def _answer(version: int, flexible: bool, answer: Produced) -> bytes:
    partition, code, base_offset, append_time_ms, start_offset, message, errors, leader = answer
    if version < 5:
        return _ANSWER_V3.pack(partition, code, base_offset, append_time_ms)
    fixed = _ANSWER_V5.pack(partition, code, base_offset, append_time_ms, start_offset)
    if version < 8:
        return fixed
    if message is None and not errors and leader is None:
        return fixed + (b"\x01\x00\x00" if flexible else b"\x00\x00\x00\x00\xff\xff")
    parts = [fixed, count_bytes(len(errors), flexible)]
    for batch_index, why in errors:
        parts += (INT32.pack(batch_index), string_bytes(why, flexible), b"\x00" * flexible)
    parts.append(string_bytes(message, flexible))
    if flexible:
        if leader is None or version < LEADERS_FROM or leader == (-1, -1):
            parts.append(b"\x00")
        else:
            data = _LEADER_ID_EPOCH.pack(*leader)
            parts.append(b"\x01" + tagged_field(_CURRENT_LEADER_TAG, data))
    return b"".join(parts)
