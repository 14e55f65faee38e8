"""From a pydantic model to the structural schema of a CustomResourceDefinition.

pydantic writes JSON Schema 2020-12 with $ref and anyOf; a structural schema has one type at each
place, no references, and bounds in the form of OpenAPI 3.0.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#specifying-a-structural-schema
"""

from collections.abc import Mapping
from typing import Any, Final

from headrace.base.invariant import invariant
from pydantic import BaseModel

_Schema = dict[str, Any]
_DROPPED: Final = frozenset({"title", "$defs", "additionalProperties"})
_TYPES: Final = {str: "string", int: "integer", bool: "boolean"}


def structural_schema(model: type[BaseModel]) -> _Schema:
    """The schema of `model`; defaults that say nothing (null, empty) are left out."""
    written = model.model_json_schema(by_alias=True)
    return _structural(written, written.get("$defs", {}))


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> _Schema:
    node = _resolved(node, definitions)
    schema = {name: value for name, value in node.items() if name not in _DROPPED}
    if "properties" in schema:
        schema["properties"] = {
            name: _structural(one, definitions) for name, one in schema["properties"].items()
        }
    if "items" in schema:
        schema["items"] = _structural(schema["items"], definitions)
    if isinstance(node.get("additionalProperties"), Mapping):
        schema["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "enum" in schema:
        schema["type"] = _TYPES[type(schema["enum"][0])]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            schema[bound], schema[exclusive] = schema[exclusive], True
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    default = _telling(schema.pop("default", None))
    return schema if default is None else {**schema, "default": default}


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node with its reference followed and its `or null` removed: absence says that."""
    if "$ref" in node:
        target = definitions[str(node["$ref"]).rpartition("/")[2]]
        beside = {name: value for name, value in node.items() if name != "$ref"}
        return _resolved({**target, **beside}, definitions)
    if "anyOf" in node and not node.get("x-kubernetes-int-or-string"):
        kinds = [one for one in node["anyOf"] if one.get("type") != "null"]
        invariant(len(kinds) == 1, "a field of a resource has one type")
        beside = {name: value for name, value in node.items() if name != "anyOf"}
        return _resolved({**kinds[0], **beside}, definitions)
    return node


def _telling(default: Any) -> Any:
    """The default without its nulls and empty parts; None where nothing is left."""
    if isinstance(default, Mapping):
        kept = {name: _telling(value) for name, value in default.items()}
        return {name: value for name, value in kept.items() if value is not None} or None
    if isinstance(default, list):
        return [_telling(one) for one in default] or None
    return default
