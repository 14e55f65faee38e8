"""What kio's generated dataclasses say about a message: the one source of the codecs' schemas.

kio gives Kafka's schemas as dataclasses with `kafka_type`, `tag` and defaults as field metadata.
`decode` and `encode` compile these; the modules are imported on first use (about 4 ms a pair).
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Final

from headrace.base.invariant import invariant

REQUEST: Final = "request"
RESPONSE: Final = "response"

_TIMES: Final = ("timedelta_i32", "timedelta_i64", "datetime_i64")
_BYTES_MIN: Final[Mapping[str | None, int]] = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "error_code": 2,
    "int32": 4,
    "uint32": 4,
    "timedelta_i32": 4,
    "int64": 8,
    "float64": 8,
    "timedelta_i64": 8,
    "datetime_i64": 8,
    "uuid": 16,
}
NO_DEFAULT: Final = MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One field. `kio_name` is the entity's attribute, `name` Kafka's own in snake case.

    `nullable` is of the array where there is one, of the value otherwise.
    """

    kio_name: str
    name: str
    kafka_type: str | None
    """None for a nested structure."""
    entity: type | None
    array: bool
    nullable: bool
    tag: int | None
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A structure: its untagged fields in the order of the wire, and its tagged ones."""

    entity: type
    flexible: bool
    fields: tuple[FieldSpec, ...]
    tagged: tuple[FieldSpec, ...]


@cache
def message_class(api_key: int, version: int, direction: str) -> type:
    """kio's class of a message. The pair must be one that kio knows: ours all are (tested)."""
    from kio.index import load_request_schema, load_response_schema

    load = load_request_schema if direction == REQUEST else load_response_schema
    loaded: type = load(api_key, version)
    return loaded


@cache
def schema_of(entity: type) -> Schema:
    """The schema of a kio entity class."""
    specs = [_field(field) for field in fields(entity)]
    tagged = sorted((s for s in specs if s.tag is not None), key=lambda s: s.tag or 0)
    return Schema(
        entity=entity,
        flexible=entity.__flexible__,  # type: ignore[attr-defined]
        fields=tuple(s for s in specs if s.tag is None),
        tagged=tuple(tagged),
    )


def _field(field: Any) -> FieldSpec:
    declared, nullable = _without_none(field.type)
    array = typing.get_origin(declared) is tuple
    item = _without_none(typing.get_args(declared)[0])[0] if array else declared
    kafka_type = field.metadata.get("kafka_type")
    entity = item if is_dataclass(item) and isinstance(item, type) else None
    invariant((entity is None) == (kafka_type is not None), "kio field without a type")
    return FieldSpec(
        kio_name=field.name,
        name=f"{field.name}_ms" if kafka_type in _TIMES else field.name,
        kafka_type=kafka_type,
        entity=entity,
        array=array,
        nullable=nullable,
        tag=field.metadata.get("tag"),
        default=field.default,
    )


def _without_none(declared: Any) -> tuple[Any, bool]:
    if typing.get_origin(declared) not in (types.UnionType, typing.Union):
        return declared, False
    kept = [arm for arm in typing.get_args(declared) if arm is not type(None)]
    invariant(len(kept) == 1, "kio union of more than one type", declared=declared)
    return kept[0], True


@cache
def bytes_min(spec: FieldSpec, flexible: bool) -> int:
    """The fewest bytes one value (one item of an array) of the field takes on the wire."""
    if spec.entity is not None:
        if spec.nullable and not spec.array:
            return 1
        inner = schema_of(spec.entity)
        return flexible + sum(
            (1 if flexible else 4) if s.array else bytes_min(s, flexible) for s in inner.fields
        )
    if spec.kafka_type in _BYTES_MIN:
        return _BYTES_MIN[spec.kafka_type]
    if flexible:
        return 1
    return 2 if spec.kafka_type == "string" else 4
