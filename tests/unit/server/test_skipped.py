"""What SKIPPED.md is made of."""

from headrace.server.skipped import KAFKA_APIS, render, sections, skipped_lines
from headrace.wire.versions import APIS


def test_a_deviation_runs_until_an_empty_line_or_the_next_one() -> None:
    docstring = """Some API.

    Skipped: the first
    goes on.
    Skipped: the second.

    No part of it.
    """
    assert list(skipped_lines(docstring)) == ["the first goes on.", "the second."]


def test_a_docstring_without_deviations_has_none() -> None:
    assert list(skipped_lines("Nothing is `Skipped:` here.")) == []


def test_every_key_that_is_not_advertised_is_in_the_file() -> None:
    text = render()
    for key in KAFKA_APIS.keys() - APIS.keys():
        assert f"| {key} | {KAFKA_APIS[key]} |" in text
    for key in APIS:
        assert f"| {key} | {KAFKA_APIS[key]} |" not in text


def test_every_deviation_of_the_code_is_in_the_file() -> None:
    text = render()
    found = [line for _, lines in sections() for line in lines]
    assert found
    assert all(f"- {line}" in text for line in found)
