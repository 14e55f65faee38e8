"""Tables in a pipe are plain columns."""

import json

import pytest
from headrace.cli.output import Output, Table, size_text


def test_a_pipe_gets_aligned_columns_and_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(columns=["NAME", "COUNT"], rows=[("a", 1), ("long", 1234), ("", None)])
    Output(as_json=False).result({}, "head", table)
    assert capsys.readouterr().out == ("head\nNAME  COUNT\na         1\nlong   1234\n-         -\n")


def test_an_empty_table_speaks_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).result({}, Table(columns=["NAME"], rows=[], empty="Nothing."))
    assert capsys.readouterr() == ("", "Nothing.\n")


def test_json_is_one_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).result({"name": "é"}, "head", Table(columns=["NAME"], rows=[("é",)]))
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "é"} and out.count("\n") == 1


def test_sizes_are_short() -> None:
    sizes = [0, 1023, 1024, 1536, 10 * 1024**2, 5 * 1024**4]
    assert [size_text(n) for n in sizes] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 MiB", "5.0 TiB",
    ]  # fmt: skip
