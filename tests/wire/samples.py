"""Random but valid messages, made from kio's schemas: mappings that `wire.encode` takes."""

import random
from typing import Any
from uuid import UUID

from headrace.wire.schema import FieldSpec, Schema, schema_of

_TEXTS = ("", "a", "topic-1", "größe", "x" * 130, "名前")
_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64, "timedelta_i32": 32}


def mapping(entity: type, rng: random.Random) -> dict[str, Any]:
    """Fields for one message of that class; tagged fields are there half of the time."""
    schema: Schema = schema_of(entity)
    fields = {spec.name: _field(spec, rng) for spec in schema.fields}
    for spec in schema.tagged:
        if rng.random() < 0.5:
            fields[spec.name] = _field(spec, rng)
    return fields


def _field(spec: FieldSpec, rng: random.Random) -> Any:
    # kio cannot write a null in a tagged field, so none is made.
    if spec.nullable and spec.tag is None and rng.random() < 0.25:
        return None
    if spec.array:
        return [_value(spec, rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    return _value(spec, rng)


def _value(spec: FieldSpec, rng: random.Random) -> Any:
    kind = spec.kafka_type
    if spec.entity is not None:
        return mapping(spec.entity, rng)
    if kind in _BITS:
        half = 1 << (_BITS[kind] - 1)
        return rng.choice((0, -1, 1, half - 1, -half, rng.randrange(-half, half)))
    if kind in ("uint16", "uint32"):
        return rng.randrange(1 << (16 if kind == "uint16" else 32))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "float64":
        return rng.uniform(-1e9, 1e9)
    if kind == "error_code":
        return rng.choice((-1, 0, 3, 6, 87, 120))
    if kind == "timedelta_i64":
        return rng.choice((-1, 0, rng.randrange(1 << 40)))
    if kind == "datetime_i64":
        return -1 if spec.nullable and rng.random() < 0.5 else 1000 * rng.randrange(4_000_000_000)
    if kind == "uuid":
        return UUID(int=rng.getrandbits(128))
    if kind == "string":
        return rng.choice(_TEXTS)
    assert kind in ("bytes", "records"), kind
    return rng.randbytes(rng.choice((0, 1, 20, 200)))
