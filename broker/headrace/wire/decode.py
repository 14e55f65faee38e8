"""Bytes -> kio entities, compiled from kio's schemas.

kio's own reader is not used: it refuses a message that has a tagged field it does not know
(Kafka skips it, KIP-482), lets a null array pass where the schema has none, and has no bound on
counts. It is the oracle of this module's tests.

Compiled readers take (frame, position) and return (value, position after it). They may raise
IndexError, struct.error, VarintError or UnicodeDecodeError on bad bytes; `read` is the boundary.
"""

import struct
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeAlias
from uuid import UUID

from headrace.base.invariant import Bug, invariant
from headrace.wire.framing import ARRAY_MAX, TAGGED_FIELDS_MAX, ProtocolError
from headrace.wire.schema import NO_DEFAULT, FieldSpec, Schema, bytes_min, schema_of
from headrace.wire.varint import VarintError, read_uvarint

Reader: TypeAlias = Callable[[Any, int], tuple[Any, int]]

_TIMEDELTA_MAX_MS: Final = timedelta.max // timedelta(milliseconds=1)
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")


def read(entity: type, frame: bytes | memoryview, position: int) -> tuple[Any, int]:
    """(the entity at `position`, the position after it). Raises ProtocolError.

    Bytes after the message are ignored, as Kafka does.
    """
    try:
        return entity_reader(entity)(frame, position)
    except (struct.error, IndexError):
        why = "the frame ends inside the message"
    except VarintError as fault:
        why = str(fault)
    except UnicodeDecodeError:
        why = "a string is not UTF-8"
    raise ProtocolError(f"{entity.__name__} v{entity.__version__}: {why}")  # type: ignore[attr-defined]


@cache
def entity_reader(entity: type) -> Reader:
    """The compiled reader of a kio entity."""
    schema = schema_of(entity)
    names = tuple(spec.kio_name for spec in schema.fields)
    steps = _steps(schema)
    conversions = [
        (index, _CONVERTED[spec.kafka_type])
        for index, spec in enumerate(schema.fields)
        if not spec.array and spec.kafka_type in _CONVERTED
    ]
    read_tagged = _tagged_reader(schema) if schema.flexible else None

    def read_entity(frame: Any, position: int) -> tuple[Any, int]:
        values: list[Any] = []
        for run, read_field in steps:
            if run is None:
                value, position = read_field(frame, position)
                values.append(value)
            else:
                values += run.unpack_from(frame, position)
                position += run.size
        for index, convert in conversions:
            values[index] = convert(values[index])
        if read_tagged is None:
            return entity(**dict(zip(names, values, strict=True))), position
        if frame[position]:
            tagged, position = read_tagged(frame, position)
            return entity(**dict(zip(names, values, strict=True)), **tagged), position
        return entity(**dict(zip(names, values, strict=True))), position + 1

    return read_entity


def _steps(schema: Schema) -> list[tuple[struct.Struct | None, Reader]]:
    """How the untagged fields are read: a run of fixed-size ones with one unpack."""
    steps: list[tuple[struct.Struct | None, Reader]] = []
    run = ">"
    for spec in schema.fields:
        code = None if spec.array else _CODES.get(spec.kafka_type)
        if code is not None:
            run += code
            continue
        if run != ">":
            steps.append((struct.Struct(run), _no_reader))
            run = ">"
        steps.append((None, _field_reader(spec, schema.flexible)))
    if run != ">":
        steps.append((struct.Struct(run), _no_reader))
    return steps


def _no_reader(frame: Any, position: int) -> tuple[Any, int]:
    raise Bug("a run of fixed-size fields has no reader")


def _tagged_reader(schema: Schema) -> Reader:
    for spec in schema.tagged:
        invariant(spec.default is not NO_DEFAULT, "kio tagged field without default", spec=spec)
    known = {
        spec.tag: (spec.kio_name, _field_reader(spec, True, tagged=True)) for spec in schema.tagged
    }

    def read_tagged(frame: Any, position: int) -> tuple[dict[str, Any], int]:
        values = {}
        count, position = read_uvarint(frame, position)
        if count > TAGGED_FIELDS_MAX:
            raise ProtocolError(f"{count} tagged fields in one structure")
        for _ in range(count):
            tag, position = read_uvarint(frame, position)
            size, position = read_uvarint(frame, position)
            end = position + size
            if end > len(frame):
                raise ProtocolError(f"tagged field {tag} of {size} bytes runs past the frame")
            if tag in known:
                name, read_field = known[tag]
                values[name], position = read_field(frame, position)
                if position != end:
                    raise ProtocolError(f"tagged field {tag} is not as long as it says ({size})")
            position = end
        return values, position

    return read_tagged


def _field_reader(spec: FieldSpec, flexible: bool, *, tagged: bool = False) -> Reader:
    if spec.array:
        return _array_reader(spec, _value_reader(spec, flexible, nullable=False), flexible)
    if spec.entity is None:
        return _value_reader(spec, flexible, nullable=spec.nullable)
    inner = entity_reader(spec.entity)
    return inner if tagged or not spec.nullable else _nullable(inner)


def _nullable(inner: Reader) -> Reader:
    """A structure that may be null has a marker byte before it: -1 for null (KIP-893)."""

    def read_nullable(frame: Any, position: int) -> tuple[Any, int]:
        if frame[position] > 0x7F:
            return None, position + 1
        return inner(frame, position + 1)

    return read_nullable


def _array_reader(spec: FieldSpec, read_item: Reader, flexible: bool) -> Reader:
    item_bytes_min = bytes_min(spec, flexible)
    name, nullable = spec.name, spec.nullable

    def read_array(frame: Any, position: int) -> tuple[Any, int]:
        if flexible:
            count, position = read_uvarint(frame, position)
            count -= 1
        else:
            count = _INT32.unpack_from(frame, position)[0]
            position += 4
        if count < 0:
            if nullable and count == -1:
                return None, position
            raise ProtocolError(f"array {name} has {'no value' if count == -1 else count}")
        if count > ARRAY_MAX or count * item_bytes_min > len(frame) - position:
            raise ProtocolError(f"array {name} says {count} elements, more than allowed or sent")
        items = []
        for _ in range(count):
            item, position = read_item(frame, position)
            items.append(item)
        return tuple(items), position

    return read_array


def _value_reader(spec: FieldSpec, flexible: bool, *, nullable: bool) -> Reader:
    kafka_type = spec.kafka_type
    if spec.entity is not None:
        return entity_reader(spec.entity)
    if kafka_type in _CODES:
        return _fixed_reader(_CODES[kafka_type], _CONVERTED.get(kafka_type))
    if kafka_type == "uuid":
        return _read_uuid
    text = kafka_type == "string"
    invariant(text or kafka_type in ("bytes", "records"), "unknown kio type", type=kafka_type)
    return _sized_reader(spec.name, text=text, flexible=flexible, nullable=nullable)


def _fixed_reader(code: str, convert: Callable[[int], Any] | None) -> Reader:
    layout = struct.Struct(">" + code)
    unpack_from, size = layout.unpack_from, layout.size

    def read_fixed(frame: Any, position: int) -> tuple[Any, int]:
        value = unpack_from(frame, position)[0]
        return (convert(value) if convert else value), position + size

    return read_fixed


def _sized_reader(name: str, *, text: bool, flexible: bool, nullable: bool) -> Reader:
    legacy = _INT16 if text else _INT32

    def read_sized(frame: Any, position: int) -> tuple[Any, int]:
        if flexible:
            size = frame[position]
            if size < 0x80:
                position += 1
            else:
                size, position = read_uvarint(frame, position)
            size -= 1
        else:
            size = legacy.unpack_from(frame, position)[0]
            position += legacy.size
        if size < 0:
            if nullable and size == -1:
                return None, position
            raise ProtocolError(f"{name} has {'no value' if size == -1 else f'length {size}'}")
        end = position + size
        if end > len(frame):
            raise ProtocolError(f"{name} says {size} bytes and runs past the frame")
        if text:
            return str(frame[position:end], "utf-8"), end
        return bytes(frame[position:end]), end

    return read_sized


def _read_uuid(frame: Any, position: int) -> tuple[UUID | None, int]:
    """The zero UUID is kio's None."""
    value = bytes(frame[position : position + 16])
    if len(value) < 16:
        raise IndexError
    return (UUID(bytes=value) if any(value) else None), position + 16


def _error_code(value: int) -> Any:
    """A code newer than kio's table reads as an unknown server error, as in Kafka's clients."""
    from kio.schema.errors import ErrorCode

    try:
        return ErrorCode(value)
    except ValueError:
        return ErrorCode.unknown_server_error


def _timedelta(value: int) -> timedelta:
    """Times beyond what timedelta holds (2.7 million years) are cut to it."""
    return timedelta(milliseconds=max(-_TIMEDELTA_MAX_MS, min(value, _TIMEDELTA_MAX_MS)))


def _datetime(value: int) -> Any:
    """-1 is no time. Only clients read these; what datetime cannot hold is a broken answer."""
    from kio.serial.readers import tz_aware_from_i64

    try:
        return None if value == -1 else tz_aware_from_i64(value)
    except (ValueError, OverflowError, OSError, TypeError):
        raise ProtocolError(f"{value} is not a timestamp") from None


_CODES: Final[dict[str | None, str]] = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
    "error_code": "h",
    "timedelta_i32": "i",
    "timedelta_i64": "q",
    "datetime_i64": "q",
}
_CONVERTED: Final[dict[str | None, Callable[[int], Any]]] = {
    "error_code": _error_code,
    "timedelta_i32": _timedelta,
    "timedelta_i64": _timedelta,
    "datetime_i64": _datetime,
}
