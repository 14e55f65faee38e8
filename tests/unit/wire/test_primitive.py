import pytest
from headrace.wire.framing import ARRAY_MAX, ProtocolError
from headrace.wire.primitive import (
    NodeEndpoint,
    endpoint_tags,
    read_count,
    read_string,
    read_topic,
    string_bytes,
    tagged_fields,
)
from headrace.wire.varint import uvarint


@pytest.mark.parametrize("flexible", [False, True])
@pytest.mark.parametrize("value", [None, "", "topic", "ä" * 200])
def test_strings(value: str | None, flexible: bool) -> None:
    data = string_bytes(value, flexible)
    assert read_string(memoryview(data), 0, flexible) == (value, len(data))


@pytest.mark.parametrize("flexible", [False, True])
def test_counts_are_bounded(flexible: bool) -> None:
    def sent(count: int) -> bytes:
        return uvarint(count + 1) if flexible else count.to_bytes(4, "big", signed=True)

    assert read_count(memoryview(sent(2) + bytes(8)), 0, flexible, 4)[0] == 2
    for count, room in ((3, 8), (ARRAY_MAX + 1, 4 * (ARRAY_MAX + 1)), (-1, 8), (2**30, 8)):
        with pytest.raises(ProtocolError):
            read_count(memoryview(sent(count) + bytes(room)), 0, flexible, 4)


def test_a_topic_has_a_name_or_sixteen_bytes() -> None:
    assert read_topic(memoryview(bytes(range(20))), 2, True, True) == (bytes(range(2, 18)), 18)
    with pytest.raises(IndexError):
        read_topic(memoryview(bytes(10)), 0, True, True)
    with pytest.raises(ProtocolError, match="no name"):
        read_topic(memoryview(b"\x00"), 0, True, False)


def test_tagged_fields_say_where_they_lie_and_end() -> None:
    data = memoryview(b"\x02\x05\x03abc\x07\x00rest")
    assert list(tagged_fields(data, 0)) == [(5, 3, 6), (7, 8, 8), (-1, 8, 8)]
    with pytest.raises(ProtocolError, match="runs past"):
        list(tagged_fields(memoryview(b"\x01\x05\x09abc"), 0))
    with pytest.raises(ProtocolError, match="tagged fields"):
        list(tagged_fields(memoryview(uvarint(10_001) + bytes(30_000)), 0))


def test_no_endpoints_are_no_tags() -> None:
    assert endpoint_tags(()) == b"\x00"
    assert endpoint_tags((NodeEndpoint(1, "h", 9),)) == (
        b"\x01\x00\x0d\x02" + b"\0\0\0\1" + b"\x02h" + b"\0\0\0\x09" + b"\x00" + b"\x00"
    )
