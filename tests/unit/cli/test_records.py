"""Records as text: JSON lines give back what they were given, patterns say what they promise."""

import json

import pytest
from headrace.cli.json_records import read_record, write_record
from headrace.cli.record_format import formatter
from headrace.wire.records import Header, NewRecord, Record
from hypothesis import given
from hypothesis import strategies as st

BYTES = st.none() | st.binary(max_size=20) | st.text(max_size=20).map(str.encode)
HEADERS = st.lists(st.builds(Header, st.text(max_size=4), BYTES), max_size=4)


@given(BYTES, BYTES, HEADERS, st.integers(0, 2**50))
def test_a_record_survives_json(
    key: bytes | None, value: bytes | None, headers: list[Header], timestamp: int
) -> None:
    line = write_record(Record(5, timestamp, key, value, tuple(headers)), "t", 1)
    assert line.count(b"\n") == 1
    assert read_record(line, 0) == NewRecord(key, value, timestamp, tuple(headers))


def test_values_that_are_json_are_kept_as_json_text() -> None:
    record = read_record(b'{"value": {"a": [1, "\\u00e9"]}}', 7)
    assert record == NewRecord(None, '{"a":[1,"é"]}'.encode(), 7, ())


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"hello", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1]", "not an object"),
        (b'{"vlaue": "x"}', "unknown field 'vlaue'"),
        (b'{"timestamp": "now"}', "number of milliseconds"),
        (b'{"timestamp": 99999999999999999999}', "the timestamp 99999999999999999999 is not from"),
        (b'{"timestamp": -2}', "the timestamp -2 is not from 0"),
        (b'{"timestamp": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"value": "\\ud800"}', "value has half of a surrogate pair"),
        (b'{"headers": {"\\ud800": "v"}}', "name has half of a surrogate pair"),
        (b'{"value": "x", "partition": 3}', "does not choose the partition: TOPIC and --partition"),
        (b'{"value_base64": "*"}', "value_base64 is not base64"),
        (b'{"headers": "h"}', "headers is neither"),
        (b'{"headers": {"h": 1}}', "header 'h' is neither"),
    ],
)
def test_a_bad_line_is_refused_in_words(line: bytes, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        read_record(line, 0)


RECORD = Record(12, 34, b"k", b"v\xff", (Header("h", b"1"), Header("i", None)))
TOMBSTONE = Record(13, 35, None, None)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("value", b"v\xff\n"),
        ("key-value", b"k\tv\xff\n"),
        ("%k=%v", b"k=v\xff\n"),
        (r"%t\t%p\t%o\t%T", b"topic\t3\t12\t34\n"),
        (r"%s\n", b"v\xff\n"),
        (r"%v\0", b"v\xff\0"),
        ("%K %S %h 100%%", b"1 2 h=1,i= 100%\n"),
    ],
)
def test_formats(form: str, expected: bytes) -> None:
    assert formatter(form)(RECORD, "topic", 3) == expected


def test_what_is_absent_is_empty_and_has_no_length() -> None:
    assert formatter("[%k][%v] %K %S")(TOMBSTONE, "t", 0) == b"[][] -1 -1\n"
    assert json.loads(formatter("json")(TOMBSTONE, "t", 0))["value"] is None


@pytest.mark.parametrize("form", ["yaml", "%", "%k %y"])
def test_a_format_that_is_none_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match=r"%o %k %v|stands for nothing"):
        formatter(form)
