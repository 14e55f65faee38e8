"""The tables of objects that the API server takes or refuses.

A table has a `base` object and `cases`. Of a case:

    case     what is tried, in words
    object   laid over the base (JSON merge patch, RFC 7386: null removes, lists are replaced)
    status   then set as the object's status
    updates  then laid over the object one after another; all but the last are taken
    refused  the last step is refused with exactly these "field: message"; without it, it is taken
    stored   what the object then holds; items of a list are compared one by one
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
FILES = ("clusters.yaml", "topics.yaml", "quotas.yaml")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case, its object already laid over the base."""

    table: str
    name: str
    object: Object
    status: Object | None
    updates: tuple[Object, ...]
    refused: frozenset[str]
    stored: Object | None


def cases(file: str) -> list[Case]:
    """The cases of one table. Raises KeyError or ValueError where a case is not well-formed."""
    table = yaml.safe_load((HERE / file).read_text(encoding="utf-8"))
    return [_case(file, table["base"], dict(one)) for one in table["cases"]]


def patched(value: Any, patch: Any) -> Any:
    """`value` with a JSON merge patch applied (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    changed = dict(value) if isinstance(value, Mapping) else {}
    for name, part in patch.items():
        if part is None:
            changed.pop(name, None)
        else:
            changed[name] = patched(changed.get(name), part)
    return changed


def holds(found: Any, wanted: Any) -> bool:
    """Whether `found` has all of `wanted`; lists must be as long."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and holds(found[name], part) for name, part in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(holds(one, part) for one, part in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def _case(table: str, base: Object, one: dict[str, Any]) -> Case:
    read = Case(
        table=table,
        name=one.pop("case"),
        object=patched(base, one.pop("object", {})),
        status=one.pop("status", None),
        updates=tuple(one.pop("updates", ())),
        refused=frozenset(one.pop("refused", ())),
        stored=one.pop("stored", None),
    )
    if one:
        raise ValueError(f"{table}: {read.name}: {', '.join(one)} is not a part of a case")
    return read
