"""What every part of a resource is made of: a frozen model, its rules, its schema extensions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
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


def keyed_by(name: str, *, most: int, least: int = 0, rules: tuple[Rule, ...] = ()) -> Any:
    """A list whose items are told apart by the field `name`, of at most `most` items."""
    extra = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name]}
    return _list(most, least, extra, rules)


def unordered(*, most: int) -> Any:
    """A list of different scalars."""
    return _list(most, 0, {"x-kubernetes-list-type": "set"}, ())


def whole(*, most: int, least: int = 0, rules: tuple[Rule, ...] = ()) -> Any:
    """A list that is only ever replaced as a whole."""
    return _list(most, least, {"x-kubernetes-list-type": "atomic"}, rules)


def ruled(*rules: Rule, **bounds: Any) -> Any:
    """A field with CEL rules of its own, and pydantic's bounds."""
    return Field(json_schema_extra=_extra({}, rules), **bounds)


def _list(most: int, least: int, extra: Mapping[str, Any], rules: tuple[Rule, ...]) -> Any:
    return Field(min_length=least or None, max_length=most, json_schema_extra=_extra(extra, rules))


def _extra(extra: Mapping[str, Any], rules: tuple[Rule, ...]) -> dict[str, Any]:
    if not rules:
        return dict(extra)
    return {**extra, "x-kubernetes-validations": [rule.rendered() for rule in rules]}
