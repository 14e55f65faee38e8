"""What every part of a resource is made of: a frozen model, its rules, its schema extensions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of x-kubernetes-validations: `cel` holds, or the API server says `message`."""

    cel: str
    message: str

    def rendered(self) -> dict[str, str]:
        """The entry as it stands in a definition."""
        return {"rule": " ".join(self.cel.split()), "message": " ".join(self.message.split())}


def cel_unchanged(path: str) -> str:
    """CEL: the optional string at `path`, such as storage.className, is as it was, or absent as it
    was. (orValue('') would say it shorter, and be estimated as a string of any length.)"""
    return f"""has(self.{path}) == has(oldSelf.{path})
        && (!has(self.{path}) || self.{path} == oldSelf.{path})"""


@dataclass(frozen=True, slots=True, eq=False)  # typing hashes what annotates a type
class Extension:
    """Annotates a type with what Kubernetes adds to its schema (x-kubernetes-*)."""

    schema: Mapping[str, Any]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), **self.schema}


class Struct(BaseModel):
    """A part of a resource: snake_case here, camelCase in the API.

    A field that this operator does not know is ignored: a newer definition may be installed.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core)
        if cls.rules:
            own = handler.resolve_ref_schema(schema)
            own["x-kubernetes-validations"] = [rule.rendered() for rule in cls.rules]
        return schema

    def document(self) -> dict[str, Any]:
        """The part as the API takes it: camelCase, JSON types, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def keyed_by(name: str, *rules: Rule) -> Extension:
    """A list whose items are told apart by the field `name`."""
    key = {"x-kubernetes-list-map-keys": [name]}
    return _extension({"x-kubernetes-list-type": "map", **key}, rules)


def unordered(*rules: Rule) -> Extension:
    """A list of different scalars."""
    return _extension({"x-kubernetes-list-type": "set"}, rules)


def whole(*rules: Rule) -> Extension:
    """A list that is only ever replaced as a whole."""
    return _extension({"x-kubernetes-list-type": "atomic"}, rules)


def ruled(*rules: Rule) -> Extension:
    """A field with CEL rules of its own."""
    return _extension({}, rules)


def _extension(schema: Mapping[str, Any], rules: tuple[Rule, ...]) -> Extension:
    if not rules:
        return Extension(schema)
    return Extension({**schema, "x-kubernetes-validations": [rule.rendered() for rule in rules]})
