"""Whole messages of every API but the hot two: frames <-> kio entities and plain mappings.

Requests are read into kio's entities, which handlers read directly (a time is a timedelta: `ms`).
Answers are nested mappings with Kafka's field names in snake case, `_ms` kept, error codes ints.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from headrace.base.invariant import Bug
from headrace.wire import decode, encode
from headrace.wire.framing import ProtocolError, skip_tagged_fields
from headrace.wire.schema import REQUEST, RESPONSE, message_class, schema_of
from headrace.wire.varint import VarintError
from headrace.wire.versions import API_VERSIONS, APIS

_SIZE = struct.Struct(">i")
_RESPONSE_HEADER = struct.Struct(">ii")
_REQUEST_HEADER = struct.Struct(">ihhi")
_MILLISECOND: Final = timedelta(milliseconds=1)


def ms(value: timedelta) -> int:
    """kio's time as whole milliseconds."""
    return value // _MILLISECOND


def read_request(api_key: int, version: int, frame: bytes | memoryview, position: int) -> Any:
    """The kio entity of the request whose body starts at `position`. Raises ProtocolError.

    The caller has checked that the version is served.
    """
    return decode.read(message_class(api_key, version, REQUEST), frame, position)[0]


def write_response(
    api_key: int, version: int, correlation_id: int, fields: Mapping[str, Any]
) -> bytes:
    """The whole answer, size prefix and header included."""
    out = bytearray(_RESPONSE_HEADER.pack(0, correlation_id))
    if response_header_flexible(api_key, version):
        out.append(0)
    _write(out, api_key, version, RESPONSE, fields)
    return _sized(out)


def encode_item(api_key: int, version: int, field: str, item: Mapping[str, Any]) -> bytes:
    """One item of a response's array `field`, to be given to `write_response` in its place."""
    schema = schema_of(message_class(api_key, version, RESPONSE))
    entity = next(spec.entity for spec in schema.fields if spec.name == field)
    if entity is None:
        raise Bug(f"{field} is no array of structures")
    out = bytearray()
    encode.entity_writer(entity)(out, item)
    return bytes(out)


def write_request(
    api_key: int,
    version: int,
    correlation_id: int,
    client_id: str | None,
    fields: Mapping[str, Any],
) -> bytes:
    """The whole request, size prefix and header included."""
    out = bytearray(_REQUEST_HEADER.pack(0, api_key, version, correlation_id))
    if client_id is None:
        out += b"\xff\xff"
    else:
        data = client_id.encode()
        out += struct.pack(">h", len(data)) + data
    if version >= APIS[api_key].flexible_from:
        out.append(0)
    _write(out, api_key, version, REQUEST, fields)
    return _sized(out)


def read_response(api_key: int, version: int, frame: bytes | memoryview) -> Any:
    """The kio entity of an answer (frame without the size). Raises ProtocolError."""
    position = 4
    if response_header_flexible(api_key, version):
        try:
            position = skip_tagged_fields(frame, position)
        except (IndexError, VarintError):
            raise ProtocolError("the frame ends inside the response header") from None
    return decode.read(message_class(api_key, version, RESPONSE), frame, position)[0]


def fields_of(entity: Any) -> Mapping[str, Any]:
    """A message that was read as what it is written from: Kafka's names, times in ms."""
    declared: Any = type(entity)
    schema = schema_of(declared)
    specs = (*schema.fields, *schema.tagged)
    return {spec.name: _plain(getattr(entity, spec.kio_name)) for spec in specs}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return ms(value)
    return fields_of(value) if is_dataclass(value) else value


def response_header_flexible(api_key: int, version: int) -> bool:
    """ApiVersions answers always have the old header: the client cannot know better yet."""
    return version >= APIS[api_key].flexible_from and api_key != API_VERSIONS


@cache
def tells_throttle_time(api_key: int, version: int) -> bool:
    """Whether answers of that version have a place for throttle_time_ms."""
    schema = schema_of(message_class(api_key, version, RESPONSE))
    return any(spec.name == "throttle_time_ms" for spec in schema.fields)


def preload() -> Iterator[None]:
    """Import and compile the messages of one (API, version) at each step, newest first.

    A step takes about 5 ms; the server runs them between other work once it is ready.
    """
    depth = max(api.max_version for api in APIS.values()) + 1
    for back in range(depth):
        for api in APIS.values():
            version = api.max_version - back
            if api.serves(version):
                decode.entity_reader(message_class(api.key, version, REQUEST))
                encode.entity_writer(message_class(api.key, version, RESPONSE))
                yield


def _write(
    out: bytearray, api_key: int, version: int, direction: str, fields: Mapping[str, Any]
) -> None:
    entity = message_class(api_key, version, direction)
    try:
        encode.entity_writer(entity)(out, fields)
    except (struct.error, TypeError, AttributeError, KeyError, OverflowError) as fault:
        raise Bug(f"{entity.__name__} v{version} cannot be written: {fault!r}") from fault


def _sized(out: bytearray) -> bytes:
    _SIZE.pack_into(out, 0, len(out) - 4)
    return bytes(out)
