import pytest
from headrace.wire.varint import (
    VarintError,
    append_varlong,
    read_uvarint,
    read_varint,
    read_varlong,
    uvarint,
)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (2**32 - 1, b"\xff\xff\xff\xff\x0f"),
    ],
)
def test_unsigned_form(value: int, data: bytes) -> None:
    assert uvarint(value) == data
    assert read_uvarint(data, 0) == (value, len(data))


@pytest.mark.parametrize(
    ("value", "data"), [(0, b"\x00"), (-1, b"\x01"), (1, b"\x02"), (-65, b"\x81\x01")]
)
def test_zig_zag_form(value: int, data: bytes) -> None:
    out = bytearray()
    append_varlong(out, value)
    assert out == data
    assert read_varlong(data, 0) == read_varint(data, 0) == (value, len(data))


def test_too_long_for_the_type() -> None:
    for data in (b"\xff\xff\xff\xff\x1f", b"\x80" * 5 + b"\x01"):
        with pytest.raises(VarintError):
            read_uvarint(data, 0)
    for data in (b"\xff" * 9 + b"\x02", b"\x80" * 11):
        with pytest.raises(VarintError):
            read_varlong(data, 0)


def test_the_end_of_the_buffer_is_an_index_error() -> None:
    for data in (b"", b"\x80", b"\xff\xff"):
        with pytest.raises(IndexError):
            read_uvarint(data, 0)
        with pytest.raises(IndexError):
            read_varlong(data, 0)
