"""The records of `__consumer_offsets`: committed offsets and classic groups, as Kafka 4.3 has them.

A key begins with the record's type, a value with its version (int16 each). Read: keys 0-2 with
values v0-v4. Written: OffsetCommit values v4 (v1 with an expiry), GroupMetadata values v3.
Other keys (KIP-848 and share groups) are `UnknownKey`: kept, and left alone.
Source: OffsetCommitKey/Value.json, GroupMetadataKey/Value.json, GroupCoordinatorRecordHelpers.
"""

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from headrace.wire.framing import ProtocolError
from headrace.wire.primitive import (
    INT16,
    INT32,
    read_count,
    read_string,
    string_bytes,
    tagged_fields,
)
from headrace.wire.primitive import tagged_field as tagged
from headrace.wire.varint import VarintError, read_uvarint

LEGACY_OFFSET_COMMIT: Final = 0
OFFSET_COMMIT: Final = 1
GROUP_METADATA: Final = 2

_FLEXIBLE_FROM: Final = 4
_VALUE_VERSION_MAX: Final = 4
_OFFSET_WRITTEN: Final = 4
_OFFSET_WITH_EXPIRY: Final = 1
_GROUP_WRITTEN: Final = 3
_TOPIC_ID_TAG: Final = 0
_MEMBER_BYTES_MIN: Final = 8

STRING_BYTES_MAX: Final = 32_767
"""The longest string of these records: its length is an int16. Newer requests carry longer."""

_INT64 = struct.Struct(">q")
_OFFSET_EPOCH = struct.Struct(">qi")


def fits(*texts: str | None) -> bool:
    """Whether every string is short enough to stand in a record."""
    return all(
        text is None
        or len(text) <= STRING_BYTES_MAX // 4
        or (len(text) <= STRING_BYTES_MAX and len(text.encode()) <= STRING_BYTES_MAX)
        for text in texts
    )


class UnreadableRecord(Exception):
    """A record of a known type that cannot be read; its sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetKey:
    """Names a committed offset."""

    group_id: str
    topic: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """Names a classic group."""

    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownKey:
    """A record type that this broker does not know."""

    record_type: int


Key: TypeAlias = OffsetKey | GroupKey | UnknownKey


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetValue:
    """A committed offset. -1 is no leader epoch and no expiry; None a topic id never said."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""
    commit_timestamp_ms: int
    expire_timestamp_ms: int = -1
    topic_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """A member of a classic group. A rebalance timeout of -1 (v0) means the session timeout."""

    member_id: str
    group_instance_id: str | None = None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int = -1
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupValue:
    """A classic group. An empty one has no protocol, no leader and no members."""

    protocol_type: str = ""
    generation: int = 0
    protocol: str | None = None
    leader: str | None = None
    current_state_timestamp_ms: int = -1
    members: tuple[GroupMember, ...] = ()


def encode_key(key: OffsetKey | GroupKey) -> bytes:
    """The record key."""
    group = string_bytes(key.group_id, False)
    if isinstance(key, GroupKey):
        return INT16.pack(GROUP_METADATA) + group
    topic = string_bytes(key.topic, False)
    return INT16.pack(OFFSET_COMMIT) + group + topic + INT32.pack(key.partition)


def decode_key(data: bytes) -> Key:
    """The key of a record. Raises UnreadableRecord."""
    try:
        reader = _Reader(data)
        if reader.version > GROUP_METADATA or reader.version < 0:
            return UnknownKey(record_type=reader.version)
        group_id = reader.string()
        if reader.version == GROUP_METADATA:
            return GroupKey(group_id=group_id)
        return OffsetKey(group_id=group_id, topic=reader.string(), partition=reader.int32())
    except _FAULTS as fault:
        raise UnreadableRecord(f"the key {data[:64].hex()} is cut off or broken: {fault}") from None


def encode_offset(value: OffsetValue) -> bytes:
    """The value of a committed offset."""
    if value.expire_timestamp_ms != -1:
        return b"".join(
            (
                INT16.pack(_OFFSET_WITH_EXPIRY),
                _INT64.pack(value.offset),
                string_bytes(value.metadata, False),
                _INT64.pack(value.commit_timestamp_ms),
                _INT64.pack(value.expire_timestamp_ms),
            )
        )
    topic_id = value.topic_id
    return b"".join(
        (
            INT16.pack(_OFFSET_WRITTEN),
            _OFFSET_EPOCH.pack(value.offset, value.leader_epoch),
            string_bytes(value.metadata, True),
            _INT64.pack(value.commit_timestamp_ms),
            b"\x00" if topic_id is None else b"\x01" + tagged(_TOPIC_ID_TAG, topic_id.bytes),
        )
    )


def decode_offset(data: bytes) -> OffsetValue:
    """The value of a committed offset. Raises UnreadableRecord."""
    try:
        reader = _Reader(data)
        version = reader.known_version()
        return OffsetValue(
            offset=reader.int64(),
            leader_epoch=reader.int32() if version >= 3 else -1,
            metadata=reader.string(),
            commit_timestamp_ms=reader.int64(),
            expire_timestamp_ms=reader.int64() if version == 1 else -1,
            topic_id=reader.topic_id() if version >= _FLEXIBLE_FROM else None,
        )
    except _FAULTS as fault:
        raise UnreadableRecord(f"a committed offset's value cannot be read: {fault}") from None


def encode_group(value: GroupValue) -> bytes:
    """The value of a group."""
    parts = [
        INT16.pack(_GROUP_WRITTEN),
        string_bytes(value.protocol_type, False),
        INT32.pack(value.generation),
        string_bytes(value.protocol, False),
        string_bytes(value.leader, False),
        _INT64.pack(value.current_state_timestamp_ms),
        INT32.pack(len(value.members)),
    ]
    for member in value.members:
        parts += (
            string_bytes(member.member_id, False),
            string_bytes(member.group_instance_id, False),
            string_bytes(member.client_id, False),
            string_bytes(member.client_host, False),
            INT32.pack(member.rebalance_timeout_ms),
            INT32.pack(member.session_timeout_ms),
            INT32.pack(len(member.subscription)),
            member.subscription,
            INT32.pack(len(member.assignment)),
            member.assignment,
        )
    return b"".join(parts)


def decode_group(data: bytes) -> GroupValue:
    """The value of a group. Raises UnreadableRecord."""
    try:
        reader = _Reader(data)
        version = reader.known_version()
        protocol_type = reader.string()
        generation = reader.int32()
        protocol = reader.nullable_string()
        leader = reader.nullable_string()
        timestamp = reader.int64() if version >= 2 else -1
        members = tuple(_member(reader, version) for _ in range(reader.count()))
        reader.skip_tags()
    except _FAULTS as fault:
        raise UnreadableRecord(f"a group's value cannot be read: {fault}") from None
    return GroupValue(
        protocol_type=protocol_type,
        generation=generation,
        protocol=protocol,
        leader=leader,
        current_state_timestamp_ms=timestamp,
        members=members,
    )


def _member(reader: "_Reader", version: int) -> GroupMember:
    member = GroupMember(
        member_id=reader.string(),
        group_instance_id=reader.nullable_string() if version >= 3 else None,
        client_id=reader.string(),
        client_host=reader.string(),
        rebalance_timeout_ms=reader.int32() if version >= 1 else -1,
        session_timeout_ms=reader.int32(),
        subscription=reader.data(),
        assignment=reader.data(),
    )
    reader.skip_tags()
    return member


class _Reader:
    """Reads one key or value from its version on. Mutable: it has a position."""

    __slots__ = ("flexible", "position", "version", "view")

    def __init__(self, data: bytes) -> None:
        self.view = memoryview(data)
        self.position = 0
        self.flexible = False
        self.version: int = INT16.unpack_from(self.view, 0)[0]
        self.position = INT16.size

    def known_version(self) -> int:
        if not 0 <= self.version <= _VALUE_VERSION_MAX:
            raise ProtocolError(f"version {self.version} is unknown (newest {_VALUE_VERSION_MAX})")
        self.flexible = self.version >= _FLEXIBLE_FROM
        return self.version

    def int32(self) -> int:
        return self._fixed(INT32)

    def int64(self) -> int:
        return self._fixed(_INT64)

    def _fixed(self, layout: struct.Struct) -> int:
        value: int = layout.unpack_from(self.view, self.position)[0]
        self.position += layout.size
        return value

    def nullable_string(self) -> str | None:
        value, self.position = read_string(self.view, self.position, self.flexible)
        return value

    def string(self) -> str:
        value = self.nullable_string()
        if value is None:
            raise ProtocolError("a string has no value")
        return value

    def data(self) -> bytes:
        if self.flexible:
            size, self.position = read_uvarint(self.view, self.position)
            size -= 1
        else:
            size = self.int32()
        end = self.position + size
        if size < 0 or end > len(self.view):
            raise ProtocolError(f"bytes of length {size}")
        value = bytes(self.view[self.position : end])
        self.position = end
        return value

    def count(self) -> int:
        value, self.position = read_count(
            self.view, self.position, self.flexible, _MEMBER_BYTES_MIN
        )
        return value

    def topic_id(self) -> UUID | None:
        topic_id = None
        for tag, start, end in tagged_fields(self.view, self.position):
            if tag == _TOPIC_ID_TAG:
                topic_id = UUID(bytes=bytes(self.view[start:end]))
            self.position = end
        return topic_id if topic_id is not None and topic_id.int else None

    def skip_tags(self) -> None:
        if self.flexible:
            for _, _, end in tagged_fields(self.view, self.position):
                self.position = end


_FAULTS = (struct.error, IndexError, ValueError, VarintError, ProtocolError)
