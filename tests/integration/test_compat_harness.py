"""The comparison of `make compat` sees a planted difference, and no difference where none is."""

import pytest
from headrace.wire.versions import APIS

from e2e.compat.allowed import ALLOWED
from e2e.compat.differential.allowance import ABSENT, Allowance, How
from e2e.compat.differential.compare import Record, compare
from e2e.compat.kafka_python.suite import Result
from e2e.compat.report import behind, waits_for
from e2e.compat.sequences import all_sequences


def answer(**fields: object) -> Record:
    return [("0 metadata v12", dict(fields))]  # type: ignore[arg-type]


def told(kafka: Record, headrace: Record, *allowed: Allowance) -> list[tuple[str, object, object]]:
    found = compare("s", kafka, headrace, allowed)
    return [(d.path, d.kafka, d.headrace) for d in found if d.allowed is None]


def test_equal_answers_do_not_differ() -> None:
    one = answer(topics=[{"name": "a", "error_code": "NONE"}], port=1)
    assert told(one, one) == []


@pytest.mark.parametrize(
    "path, other",
    [
        ("error_code", {"error_code": "UNKNOWN_TOPIC_OR_PARTITION", "parts": [1, 2]}),
        ("parts[1]", {"error_code": "NONE", "parts": [1, 3]}),
    ],
)
def test_a_planted_difference_is_told(path: str, other: dict[str, object]) -> None:
    found = told(answer(error_code="NONE", parts=[1, 2]), answer(**other))
    assert [place for place, _, _ in found] == [path]


def test_a_missing_element_is_told_once() -> None:
    both = answer(topics=[{"name": "a", "x": 1}, {"name": "b", "x": 1}])
    one = answer(topics=[{"name": "b", "x": 1}])
    assert told(both, one) == [("topics[a]", "there", ABSENT)]


def test_a_missing_answer_is_told() -> None:
    assert told(answer(x=1), [("0 metadata v12", "connection closed")])


def test_lists_are_matched_by_name_and_not_by_order() -> None:
    one = answer(topics=[{"name": "a"}, {"name": "b"}])
    other = answer(topics=[{"name": "b"}, {"name": "a"}])
    assert told(one, other) == []


def test_ids_are_compared_by_where_they_stand() -> None:
    one = answer(leader="m-17", members=[{"member_id": "m-17"}, {"member_id": "m-18"}])
    same = answer(leader="q-2", members=[{"member_id": "q-1"}, {"member_id": "q-2"}])
    other = answer(leader="q-3", members=[{"member_id": "q-1"}, {"member_id": "q-2"}])
    assert told(one, same) == []
    assert told(one, other)


def test_an_allowance_covers_its_own_field_alone() -> None:
    port = Allowance(path="*port", why="own")
    assert told(answer(port=1), answer(port=2), port) == []
    assert told(answer(host="a"), answer(host="b"), port)
    elsewhere = Allowance(path="*port", api="fetch", why="own")
    assert told(answer(port=1), answer(port=2), elsewhere)


def test_wording_may_differ_but_not_be_missing() -> None:
    words = Allowance(path="message", how=How.IN_WORDING, why="own")
    assert told(answer(message="a"), answer(message="b"), words) == []
    assert told(answer(message=None), answer(message="b"), words) == []
    assert told(answer(message="a"), answer(message=None), words)


def test_there_are_enough_sequences_and_every_api_has_its_bounds() -> None:
    names = [item.name for item in all_sequences()]
    assert len(names) >= 300
    assert len(set(names)) == len(names)
    for api in APIS.values():
        served = api.max_version - api.served_from + 1
        found = [n for n in names if n.startswith(f"bounds.{_snake(api.name)}-v")]
        assert len(found) == served, api.name


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def test_every_allowance_gives_a_reason() -> None:
    assert all(len(item.why) > 10 for item in ALLOWED)


def test_a_test_that_only_kafka_passes_is_named() -> None:
    kafka = {"a::x": (Result.PASS, ""), "a::y": (Result.PASS, ""), "a::acl": (Result.PASS, "")}
    ours = {"a::x": (Result.PASS, ""), "a::y": (Result.FAIL, "no")}
    assert behind(kafka, ours) == ["a::y"]
    assert waits_for("a::acl") == "ACLs"
