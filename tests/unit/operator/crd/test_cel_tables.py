"""The tables that the API server is tried with leave out no rule."""

from collections.abc import Iterator
from typing import Any

import pytest
from headrace_operator.crd.definition import KINDS, Kind, definition

from e2e.kubernetes.cel.table import FILES, Case, cases, holds, patched


def messages(schema: Any) -> Iterator[str]:
    """Of every rule in a schema."""
    if isinstance(schema, dict):
        for rule in schema.get("x-kubernetes-validations", ()):
            yield rule["message"]
        for part in schema.values():
            yield from messages(part)


def table_of(kind: Kind) -> list[Case]:
    return cases(f"{kind.plural}.yaml")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_rule_refuses_an_object_of_its_table(kind: Kind) -> None:
    version = definition(kind)["spec"]["versions"][0]
    rules = set(messages(version["schema"]["openAPIV3Schema"]))
    assert rules
    refusals = {text for case in table_of(kind) for text in case.refused}
    silent = [rule for rule in rules if not any(text.endswith(rule) for text in refusals)]
    assert not silent


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_table_has_objects_that_are_taken(kind: Kind) -> None:
    table = table_of(kind)
    taken = [case for case in table if not case.refused]
    assert len(taken) * 4 > len(table)
    assert len({case.name for case in table}) == len(table)


def test_there_is_a_table_for_every_kind() -> None:
    assert set(FILES) == {f"{kind.plural}.yaml" for kind in KINDS}


def test_a_patch_removes_with_null_and_replaces_lists() -> None:
    before = {"a": {"b": 1, "c": 2}, "l": [1, 2]}
    assert patched(before, {"a": {"b": None, "d": 3}, "l": [3]}) == {
        "a": {"c": 2, "d": 3},
        "l": [3],
    }
    assert before == {"a": {"b": 1, "c": 2}, "l": [1, 2]}


def test_an_object_holds_what_it_has_and_lists_as_long() -> None:
    found = {"a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}]}
    assert holds(found, {"a": {"b": 1}, "l": [{"x": 1}]})
    assert not holds(found, {"a": {"d": 1}})
    assert not holds(found, {"l": []})
    assert not holds(found, {"l": [{"x": 2}]})
