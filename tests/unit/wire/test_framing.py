import pytest
from headrace.wire.framing import (
    TAGGED_FIELDS_MAX,
    ProtocolError,
    RequestHeader,
    read_header,
    skip_tagged_fields,
)
from headrace.wire.varint import uvarint


def header(api_key: int, version: int, client_id: bytes, rest: bytes = b"") -> memoryview:
    fixed = api_key.to_bytes(2, "big") + version.to_bytes(2, "big") + (9).to_bytes(4, "big")
    return memoryview(fixed + client_id + rest)


def test_legacy_header() -> None:
    read = read_header(header(3, 8, b"\x00\x02cl", b"body"))
    assert read == RequestHeader(3, 8, 9, "cl", 12)


def test_null_client_id() -> None:
    assert read_header(header(3, 8, b"\xff\xff")) == RequestHeader(3, 8, 9, None, 10)


def test_flexible_header_with_tagged_fields() -> None:
    frame = header(3, 9, b"\x00\x01c", b"\x02\x05\x03abc\x06\x00" + b"body")
    read = read_header(frame)
    assert bytes(frame[read.body :]) == b"body"


def test_an_unknown_key_or_version_still_has_a_header() -> None:
    assert read_header(header(999, 7, b"\x00\x00")).api_key == 999
    assert read_header(header(18, 99, b"\x00\x00", b"\x00")) == RequestHeader(18, 99, 9, "", 11)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (memoryview(b"\x00\x03"), "ends inside the request header"),
        (header(3, 8, b"\x00\x09abc"), "runs past the frame"),
        (header(3, 8, b"\xff\xfe"), "length -2"),
        (header(3, 8, b"\x00\x01\xff"), "not UTF-8"),
        (header(3, 9, b"\x00\x00"), "ends inside the request header"),
        (header(3, 9, b"\x00\x00", b"\x01\x05\x7fabc"), "runs past the frame"),
        (header(3, 9, b"\x00\x00", b"\xff\xff\xff\xff\xff"), "does not fit"),
    ],
)
def test_a_broken_header_breaks_the_protocol(frame: memoryview, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        read_header(frame)


def test_the_number_of_tagged_fields_is_bounded() -> None:
    fine = uvarint(TAGGED_FIELDS_MAX) + b"\x00\x00" * TAGGED_FIELDS_MAX
    assert skip_tagged_fields(memoryview(fine), 0) == len(fine)
    with pytest.raises(ProtocolError, match="10001 tagged fields"):
        skip_tagged_fields(memoryview(uvarint(TAGGED_FIELDS_MAX + 1) + fine), 0)
