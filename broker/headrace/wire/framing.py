"""The size-prefixed frame and the header of a request.

A frame here is what follows the 4-byte size. Headers of version 1 (legacy) and 2 (flexible,
KIP-482) differ only in the tagged fields after the client id, which is always a legacy string.
"""

import struct
from typing import Final, NamedTuple

from headrace.wire.varint import VarintError, read_uvarint
from headrace.wire.versions import FLEXIBLE_FROM

TAGGED_FIELDS_MAX: Final = 10_000
"""More in one structure is refused, as Kafka does: nothing sane sends them."""
ARRAY_MAX: Final = 1_000_000
"""More elements in one array are refused before anything is allocated, as Kafka does."""

_FIXED = struct.Struct(">hhih")
_NEVER_FLEXIBLE = 1 << 15


class ProtocolError(Exception):
    """The peer broke the protocol. Its sentence says how; the connection is closed."""


class RequestHeader(NamedTuple):
    """A request's header. `body` is the position in the frame where the body starts."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body: int


def read_header(frame: bytes | memoryview) -> RequestHeader:
    """The header of the request in `frame`. Raises ProtocolError.

    An unknown key or version still has a header: its first four fields never change, so the
    caller can answer UNSUPPORTED_VERSION.
    """
    try:
        api_key, api_version, correlation_id, length = _FIXED.unpack_from(frame)
        position = 10
        client_id = None
        if length >= 0:
            position += length
            if position > len(frame):
                raise ProtocolError("the request header's client id runs past the frame")
            client_id = str(frame[10:position], "utf-8")
        elif length != -1:
            raise ProtocolError(f"the request header's client id has length {length}")
        if api_version >= FLEXIBLE_FROM.get(api_key, _NEVER_FLEXIBLE):
            if frame[position]:
                position = skip_tagged_fields(frame, position)
            else:
                position += 1
    except (struct.error, IndexError):
        raise ProtocolError("the frame ends inside the request header") from None
    except VarintError as fault:
        raise ProtocolError(f"the request header's tagged fields: {fault}") from None
    except UnicodeDecodeError:
        raise ProtocolError("the request header's client id is not UTF-8") from None
    return RequestHeader(api_key, api_version, correlation_id, client_id, position)


def skip_tagged_fields(frame: bytes | memoryview, position: int) -> int:
    """The position after the tagged fields at `position`. Raises ProtocolError, IndexError."""
    count, position = read_uvarint(frame, position)
    if count > TAGGED_FIELDS_MAX:
        raise ProtocolError(f"{count} tagged fields in one structure (most {TAGGED_FIELDS_MAX})")
    for _ in range(count):
        _, position = read_uvarint(frame, position)
        size, position = read_uvarint(frame, position)
        position += size
        if position > len(frame):
            raise ProtocolError(f"a tagged field of {size} bytes runs past the frame")
    return position
