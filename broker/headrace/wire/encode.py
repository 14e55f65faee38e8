"""Nested mappings -> bytes, compiled from kio's schemas.

No entity is built on the way: a handler's mapping goes into the answer directly. Field names are
Kafka's in snake case. A field that the version lacks is dropped, an absent one takes the schema's
default; without one, or where a name is in no version of the message, that is our bug.
"""

import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias
from uuid import UUID

from headrace.base.invariant import Bug, invariant
from headrace.wire.schema import (
    NO_DEFAULT,
    REQUEST,
    RESPONSE,
    FieldSpec,
    Schema,
    message_class,
    schema_of,
)
from headrace.wire.varint import append_uvarint
from headrace.wire.versions import APIS

Writer: TypeAlias = Callable[[bytearray, Any], None]

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_NULL_UUID: Final = bytes(16)
_STRING_BYTES_MAX: Final = 32_767


@cache
def entity_writer(entity: type) -> Writer:
    """The compiled writer of a mapping as a kio entity."""
    schema = schema_of(entity)
    plan = tuple(
        (spec.name, _default(spec), _field_writer(spec, schema.flexible)) for spec in schema.fields
    )
    tagged = tuple((spec.name, _tagged_writer(spec)) for spec in schema.tagged)
    flexible = schema.flexible
    accepted = {spec.name for spec in (*schema.fields, *schema.tagged)}

    def write_entity(out: bytearray, value: Mapping[str, Any] | bytes) -> None:
        if isinstance(value, bytes):  # encoded before, by messages.encode_item
            out += value
            return
        if not value.keys() <= accepted:
            _accept_other_versions(entity, value.keys() - accepted, accepted)
        for name, default, write_field in plan:
            field = value.get(name, default)
            if field is NO_DEFAULT:
                raise Bug(f"{entity.__name__} needs {name}, got {sorted(value)}")
            write_field(out, field)
        if flexible:
            if tagged:
                _write_tagged(out, tagged, value)
            else:
                out.append(0)

    return write_entity


def _accept_other_versions(entity: type, names: set[str], accepted: set[str]) -> None:
    """Add `names` to `accepted` where another version of the API has them; else it is a typo.

    Newer versions are looked at first: they are imported already, or soon will be.
    """
    api = APIS[entity.__api_key__]  # type: ignore[attr-defined]
    for version in range(api.max_version, api.served_from - 1, -1):
        for direction in (RESPONSE, REQUEST):
            accepted |= names & _names(schema_of(message_class(api.key, version, direction)))
        if names <= accepted:
            return
    raise Bug(f"no version of {api.name} has {sorted(names - accepted)} ({entity.__name__})")


@cache
def _names(schema: Schema) -> frozenset[str]:
    """The names of all fields of a message, at any depth."""
    names: set[str] = set()
    for spec in (*schema.fields, *schema.tagged):
        names.add(spec.name)
        if spec.entity is not None:
            names |= _names(schema_of(spec.entity))
    return frozenset(names)


def _default(spec: FieldSpec) -> Any:
    if spec.name == "throttle_time_ms":
        return 0
    if spec.default is NO_DEFAULT or (spec.entity is None and spec.kafka_type not in _TIMES):
        return spec.default
    if spec.array or spec.default is None:
        return spec.default
    if spec.entity is None:
        return round(spec.default.total_seconds() * 1000)
    return {}  # every field of such a structure has its own default


_TIMES: Final = ("timedelta_i32", "timedelta_i64")


def _write_tagged(
    out: bytearray, tagged: tuple[tuple[str, Writer], ...], value: Mapping[str, Any]
) -> None:
    count = 0
    body = bytearray()
    for name, write_field in tagged:
        if name in value:
            before = len(body)
            write_field(body, value[name])
            count += len(body) > before
    append_uvarint(out, count)
    out += body


def _tagged_writer(spec: FieldSpec) -> Writer:
    """Writes nothing for the default, as Kafka does."""
    inner = _field_writer(spec, True, tagged=True)
    default = bytearray()
    inner(default, _default(spec))
    tag = spec.tag
    invariant(tag is not None, "a tagged field has a tag")

    def write_tagged(out: bytearray, value: Any) -> None:
        body = bytearray()
        inner(body, value)
        if body == default:
            return
        append_uvarint(out, tag or 0)
        append_uvarint(out, len(body))
        out += body

    return write_tagged


def _field_writer(spec: FieldSpec, flexible: bool, *, tagged: bool = False) -> Writer:
    if spec.array:
        item = _value_writer(spec, flexible, nullable=False)
        return _array_writer(item, flexible, nullable=spec.nullable)
    if spec.entity is None:
        return _value_writer(spec, flexible, nullable=spec.nullable)
    inner = entity_writer(spec.entity)
    return inner if tagged or not spec.nullable else _nullable(inner)


def _nullable(inner: Writer) -> Writer:
    """A marker byte before a structure that may be null: -1 for null (KIP-893)."""

    def write_nullable(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(0xFF)
        else:
            out.append(1)
            inner(out, value)

    return write_nullable


def _array_writer(write_item: Writer, flexible: bool, *, nullable: bool) -> Writer:
    def write_array(out: bytearray, value: Any) -> None:
        if value is None:
            invariant(nullable, "null for an array that cannot be null")
            out += b"\x00" if flexible else b"\xff\xff\xff\xff"
            return
        if flexible:
            append_uvarint(out, len(value) + 1)
        else:
            out += _INT32.pack(len(value))
        for item in value:
            write_item(out, item)

    return write_array


def _value_writer(spec: FieldSpec, flexible: bool, *, nullable: bool) -> Writer:
    kafka_type = spec.kafka_type
    if spec.entity is not None:
        return entity_writer(spec.entity)
    if kafka_type in _FIXED:
        return _fixed_writer(_FIXED[kafka_type])
    if kafka_type == "uuid":
        return _write_uuid
    if kafka_type == "datetime_i64":
        return _write_time
    text = kafka_type == "string"
    invariant(text or kafka_type in ("bytes", "records"), "unknown kio type", type=kafka_type)
    return _sized_writer(spec.name, text=text, flexible=flexible, nullable=nullable)


_FIXED: Final = {
    "bool": ">?",
    "int8": ">b",
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "float64": ">d",
    "error_code": ">h",
    "timedelta_i32": ">i",
    "timedelta_i64": ">q",
}


def _fixed_writer(code: str) -> Writer:
    pack = struct.Struct(code).pack

    def write_fixed(out: bytearray, value: Any) -> None:
        out += pack(value)

    return write_fixed


def _sized_writer(name: str, *, text: bool, flexible: bool, nullable: bool) -> Writer:
    def write_sized(out: bytearray, value: Any) -> None:
        if value is None:
            invariant(nullable, "null for a field that cannot be null", name=name)
            out += b"\x00" if flexible else b"\xff\xff" if text else b"\xff\xff\xff\xff"
            return
        data = value.encode() if text else value
        if flexible:
            append_uvarint(out, len(data) + 1)
        elif text:
            invariant(len(data) <= _STRING_BYTES_MAX, "a string too long to send", name=name)
            out += _INT16.pack(len(data))
        else:
            out += _INT32.pack(len(data))
        out += data

    return write_sized


def _write_uuid(out: bytearray, value: UUID | None) -> None:
    out += _NULL_UUID if value is None else value.bytes


def _write_time(out: bytearray, value: int | None) -> None:
    out += (-1 if value is None else value).to_bytes(8, "big", signed=True)
