"""Who reads what in a classic group: the consumer protocol's two messages, and two assignors.

Pure. Version 0 of both messages is written, which every client reads, and any version is read.
Source: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json; the range assignor's
rule is KIP-54's description of what came before it.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

TopicPartitions = Mapping[str, Sequence[int]]

_NO_USER_DATA = struct.pack(">i", -1)


def write_subscription(topics: Iterable[str]) -> bytes:
    """A member's subscription."""
    names = sorted(topics)
    return struct.pack(">hi", 0, len(names)) + b"".join(map(_string, names)) + _NO_USER_DATA


def read_subscription(data: bytes) -> list[str]:
    """The topics of a member's subscription."""
    reader = _Reader(data, 2)
    return [reader.string() for _ in range(reader.int32())]


def write_assignment(partitions: TopicPartitions) -> bytes:
    """What a member is given."""
    out = bytearray(struct.pack(">hi", 0, len(partitions)))
    for topic, indexes in sorted(partitions.items()):
        out += _string(topic) + struct.pack(f">i{len(indexes)}i", len(indexes), *indexes)
    return bytes(out) + _NO_USER_DATA


def read_assignment(data: bytes) -> dict[str, tuple[int, ...]]:
    """What a member was given; nothing where the data is empty."""
    if not data:
        return {}
    reader = _Reader(data, 2)
    given: dict[str, tuple[int, ...]] = {}
    for _ in range(reader.int32()):
        topic = reader.string()
        given[topic] = tuple(reader.int32() for _ in range(reader.int32()))
    return given


def assign_range(
    subscriptions: Mapping[str, Iterable[str]], partition_counts: Mapping[str, int]
) -> dict[str, dict[str, list[int]]]:
    """Each topic's partitions in runs over its subscribers in order; the first get one more."""
    given: dict[str, dict[str, list[int]]] = {member: {} for member in subscriptions}
    for topic, count in sorted(partition_counts.items()):
        members = sorted(m for m, topics in subscriptions.items() if topic in topics)
        if not members:
            continue
        share, more = divmod(count, len(members))
        first = 0
        for place, member in enumerate(members):
            last = first + share + (place < more)
            if last > first:
                given[member][topic] = list(range(first, last))
            first = last
    return given


def assign_round_robin(
    subscriptions: Mapping[str, Iterable[str]], partition_counts: Mapping[str, int]
) -> dict[str, dict[str, list[int]]]:
    """All partitions dealt to the members in turn, passing over who has not subscribed."""
    given: dict[str, dict[str, list[int]]] = {member: {} for member in subscriptions}
    members = sorted(subscriptions)
    place = 0
    for topic, count in sorted(partition_counts.items()):
        if not any(topic in subscriptions[member] for member in members):
            continue
        for index in range(count):
            while topic not in subscriptions[members[place % len(members)]]:
                place += 1
            given[members[place % len(members)]].setdefault(topic, []).append(index)
            place += 1
    return given


ASSIGNORS = {"range": assign_range, "roundrobin": assign_round_robin}


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class _Reader:
    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    def int32(self) -> int:
        value: int = struct.unpack_from(">i", self._data, self._position)[0]
        self._position += 4
        return value

    def string(self) -> str:
        (length,) = struct.unpack_from(">h", self._data, self._position)
        start = self._position + 2
        self._position = start + length
        return self._data[start : self._position].decode()
