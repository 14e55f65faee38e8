"""Two records of one sequence, made comparable and compared field by field.

Made comparable means: values that every broker draws for itself (topic ids, member ids, producer
ids, fetch session ids) become symbols in order of appearance, so that *which* id stands where is
still compared; and elements of lists that have a name are matched by it, as Kafka's order is that
of its hash maps.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.compat.differential.allowance import ABSENT, Allowance
from e2e.compat.differential.tree import Tree

Record = Sequence[tuple[str, Tree]]

DRAWN_FIELDS = ("topic_id", "member_id", "producer_id", "session_id")
"""Fields whose values a broker draws for itself; `leader` of JoinGroup is a member id as well."""
NOTHING_DRAWN = (None, "", -1, "00000000-0000-0000-0000-000000000000")
NO_SESSION = 0

IDENTITIES = (
    ("resource_type", "resource_name"),
    ("name",),
    ("topic_name",),
    ("topic",),
    ("feature",),
    ("partition_index",),
    ("partition_id",),
    ("partition",),
    ("index",),
    ("group_id",),
    ("api_key",),
    ("key",),
    ("node_id",),
    ("broker_id",),
    ("replica_id",),
    ("topic_id",),
)
"""What names an element of a list: the first of these whose fields it has, and filled."""

ORDERED = frozenset({"synonyms", "records"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that Kafka and Headrace answer differently, and what allows it, if anything."""

    sequence: str
    step: str
    path: str
    kafka: Any
    headrace: Any
    allowed: Allowance | None


def compare(
    sequence: str, kafka: Record, headrace: Record, allowances: Sequence[Allowance]
) -> list[Difference]:
    """Every field in which the two records differ, those that may differ included."""
    differences = []
    theirs, ours = _flat(kafka), _flat(headrace)
    for step, path in sorted(theirs.keys() | ours.keys(), key=_reading_order):
        one, other = theirs.get((step, path), ABSENT), ours.get((step, path), ABSENT)
        if one == other:
            continue
        if _inside_absent(step, path, theirs, ours):
            continue
        found = next((a for a in allowances if a.covers(sequence, step, path, one, other)), None)
        differences.append(
            Difference(
                sequence=sequence, step=step, path=path, kafka=one, headrace=other, allowed=found
            )
        )
    return differences


def _reading_order(place: tuple[str, str]) -> tuple[int, str]:
    step, path = place
    return int(step.split()[0]), path


def _inside_absent(step: str, path: str, theirs: dict[Any, Any], ours: dict[Any, Any]) -> bool:
    """Whether a whole element that one side lacks is already told by its own line."""
    for end in range(len(path)):
        if path[end] in ".[" and end:
            place = (step, path[:end])
            if (place in theirs) != (place in ours):
                return True
    return False


def _flat(record: Record) -> dict[tuple[str, str], Any]:
    """(step, path) -> leaf; a list's element that has a name also stands there by itself."""
    symbols: dict[str, dict[Any, str]] = {}
    leaves: dict[tuple[str, str], Any] = {}
    for step, tree in record:
        for path, leaf in _leaves(_symbolic(tree, "", symbols), ""):
            leaves[step, path] = leaf
    return leaves


def _identity(element: dict[str, Any]) -> str | None:
    for fields in IDENTITIES:
        if all(element.get(name) not in (None, "") for name in fields):
            return ",".join(str(element[name]) for name in fields)
    return None


def _symbolic(tree: Tree, name: str, symbols: dict[str, dict[Any, str]]) -> Tree:
    """The tree with drawn values replaced by <member_id 1>, <member_id 2>, ...

    Lists of structures are first sorted by what is known of them, drawn values that were never
    seen before left out; only then do those get their symbols.
    """
    if isinstance(tree, dict):
        return {key: _symbolic(value, key, symbols) for key, value in tree.items()}
    if isinstance(tree, list):
        items = list(tree)
        if name not in ORDERED and all(isinstance(item, dict) for item in items):
            items.sort(key=lambda item: json.dumps(_known(item, name, symbols), sort_keys=True))
        return [_symbolic(item, name, symbols) for item in items]
    kind = _drawn_kind(tree, name)
    if kind is None:
        return tree
    known = symbols.setdefault(kind, {})
    return known.setdefault(tree, f"<{kind} {len(known) + 1}>")


def _known(tree: Tree, name: str, symbols: dict[str, dict[Any, str]]) -> Tree:
    if isinstance(tree, dict):
        return {
            key: _known(value, key, symbols)
            for key, value in tree.items()
            if not key.endswith("error_message")
        }
    if isinstance(tree, list):
        return [_known(item, name, symbols) for item in tree]
    kind = _drawn_kind(tree, name)
    return tree if kind is None else symbols.get(kind, {}).get(tree, "<new>")


def _drawn_kind(value: Any, name: str) -> str | None:
    """Which kind of drawn value stands in the field, if it is one."""
    if value in NOTHING_DRAWN or (name == "session_id" and value == NO_SESSION):
        return None
    if name == "leader" and isinstance(value, str):
        return "member_id"
    return name if name in DRAWN_FIELDS else None


def _leaves(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(tree, list):
        seen: dict[str, int] = {}
        yield f"{path}#", "a list"
        for position, item in enumerate(tree):
            key = (_identity(item) if isinstance(item, dict) else None) or str(position)
            seen[key] = seen.get(key, 0) + 1
            here = f"{path}[{key}]" if seen[key] == 1 else f"{path}[{key}~{seen[key]}]"
            if isinstance(item, dict):
                yield here, "there"
            yield from _leaves(item, here)
    else:
        yield path or "answer", tree
