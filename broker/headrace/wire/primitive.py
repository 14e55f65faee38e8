"""Strings, counts and tagged fields for the two hand-written codecs, Produce and Fetch.

Readers return (value, position after it). They raise ProtocolError; running off the end of the
frame also shows as IndexError or struct.error, which the codecs' boundary turns into one.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from headrace.wire.framing import ARRAY_MAX, TAGGED_FIELDS_MAX, ProtocolError
from headrace.wire.varint import append_uvarint, read_uvarint, uvarint

Topic: TypeAlias = str | bytes
"""A topic as a request names it: by name, or by the 16 bytes of its id (Fetch and Produce v13)."""

TOPIC_ID_BYTES: Final = 16
INT16: Final = struct.Struct(">h")
INT32: Final = struct.Struct(">i")
NODE_ENDPOINTS_TAG: Final = 0


class NodeEndpoint(NamedTuple):
    """Where a leader that an answer names can be reached (KIP-951)."""

    node_id: int
    host: str
    port: int
    rack: str | None = None


def read_count(
    frame: memoryview, position: int, flexible: bool, item_bytes_min: int
) -> tuple[int, int]:
    """The count of an array that is not null; refused before a list is made of a lie."""
    if flexible:
        count, position = read_uvarint(frame, position)
        count -= 1
    else:
        (count,) = INT32.unpack_from(frame, position)
        position += 4
    if count < 0:
        raise ProtocolError("an array has no value")
    if count > ARRAY_MAX or count * item_bytes_min > len(frame) - position:
        raise ProtocolError(f"an array says {count} elements, more than allowed or sent")
    return count, position


def read_string(frame: memoryview, position: int, flexible: bool) -> tuple[str | None, int]:
    """A string; None for null."""
    if flexible:
        size, position = read_uvarint(frame, position)
        size -= 1
    else:
        (size,) = INT16.unpack_from(frame, position)
        position += 2
    if size < 0:
        if size == -1:
            return None, position
        raise ProtocolError(f"a string has length {size}")
    end = position + size
    if end > len(frame):
        raise ProtocolError(f"a string of {size} bytes runs past the frame")
    return str(frame[position:end], "utf-8"), end


def read_topic(frame: memoryview, position: int, flexible: bool, by_id: bool) -> tuple[Topic, int]:
    """A topic's name, or its id."""
    if by_id:
        end = position + TOPIC_ID_BYTES
        if end > len(frame):
            raise IndexError
        return bytes(frame[position:end]), end
    name, position = read_string(frame, position, flexible)
    if name is None:
        raise ProtocolError("a topic has no name")
    return name, position


def tagged_fields(frame: memoryview, position: int) -> Iterator[tuple[int, int, int]]:
    """(tag, start, end) of each tagged field, then (-1, end, end) where all of them end."""
    count, position = read_uvarint(frame, position)
    if count > TAGGED_FIELDS_MAX:
        raise ProtocolError(f"{count} tagged fields in one structure (most {TAGGED_FIELDS_MAX})")
    for _ in range(count):
        tag, position = read_uvarint(frame, position)
        size, position = read_uvarint(frame, position)
        end = position + size
        if end > len(frame):
            raise ProtocolError(f"tagged field {tag} of {size} bytes runs past the frame")
        yield tag, position, end
        position = end
    yield -1, position, position


def string_bytes(value: str | None, flexible: bool) -> bytes:
    """A string or null on the wire."""
    if value is None:
        return b"\x00" if flexible else b"\xff\xff"
    data = value.encode()
    return (uvarint(len(data) + 1) if flexible else INT16.pack(len(data))) + data


def topic_bytes(topic: Topic, flexible: bool) -> bytes:
    """A topic as it was named in the request."""
    return topic if isinstance(topic, bytes) else string_bytes(topic, flexible)


def count_bytes(count: int, flexible: bool) -> bytes:
    """The count of an array."""
    return uvarint(count + 1) if flexible else INT32.pack(count)


def tagged_field(tag: int, data: bytes) -> bytes:
    """A tagged field with its tag and size."""
    return uvarint(tag) + uvarint(len(data)) + data


def endpoint_tags(endpoints: Sequence[NodeEndpoint]) -> bytes:
    """All tagged fields of an answer whose only one may be its node endpoints."""
    if not endpoints:
        return b"\x00"
    out = bytearray()
    append_uvarint(out, len(endpoints) + 1)
    for node_id, host, port, rack in endpoints:
        out += INT32.pack(node_id) + string_bytes(host, True)
        out += INT32.pack(port) + string_bytes(rack, True) + b"\x00"
    return b"\x01" + tagged_field(NODE_ENDPOINTS_TAG, bytes(out))
