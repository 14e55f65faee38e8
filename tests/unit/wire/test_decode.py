from datetime import timedelta

import pytest
from headrace.wire import decode
from headrace.wire.framing import ARRAY_MAX, ProtocolError
from headrace.wire.schema import REQUEST, RESPONSE, message_class
from headrace.wire.varint import uvarint

DESCRIBE_GROUPS_V5 = message_class(15, 5, REQUEST)
DESCRIBE_GROUPS_V0 = message_class(15, 0, REQUEST)


def read(entity: type, data: bytes) -> object:
    return decode.read(entity, memoryview(data), 0)[0]


def test_unknown_tagged_fields_are_skipped() -> None:
    plain = read(DESCRIBE_GROUPS_V5, b"\x02\x02g\x01\x00")
    assert plain.groups == ("g",) and plain.include_authorized_operations is True
    assert read(DESCRIBE_GROUPS_V5, b"\x02\x02g\x01\x02\x63\x02ab\x64\x00") == plain


def test_bytes_behind_the_message_are_ignored() -> None:
    assert read(DESCRIBE_GROUPS_V5, b"\x02\x02g\x01\x00rest").groups == ("g",)


def test_a_null_array_is_refused_where_the_schema_has_none() -> None:
    for entity, data in ((DESCRIBE_GROUPS_V5, b"\x00\x00\x00"), (DESCRIBE_GROUPS_V0, b"\xff" * 4)):
        with pytest.raises(ProtocolError, match="array groups has no value"):
            read(entity, data)
    assert read(message_class(3, 1, REQUEST), b"\xff" * 4).topics is None


@pytest.mark.parametrize("count", [ARRAY_MAX, 2**31])
def test_a_count_that_was_not_sent_is_refused(count: int) -> None:
    with pytest.raises(ProtocolError, match="more than allowed or sent"):
        read(DESCRIBE_GROUPS_V5, uvarint(count + 1) + b"\x01" * 1000)


def test_more_than_a_million_elements_are_refused_although_they_were_sent() -> None:
    with pytest.raises(ProtocolError, match="more than allowed or sent"):
        read(DESCRIBE_GROUPS_V5, uvarint(ARRAY_MAX + 2) + b"\x01" * (ARRAY_MAX + 1) + b"\x00\x00")


def test_too_many_tagged_fields_are_refused() -> None:
    with pytest.raises(ProtocolError, match="10001 tagged fields"):
        read(DESCRIBE_GROUPS_V5, b"\x01\x00" + uvarint(10_001) + b"\x63\x00" * 10_001)


def test_a_tagged_field_must_be_as_long_as_it_says() -> None:
    entity = message_class(18, 4, RESPONSE)
    epoch = b"\x01\x01\x09" + bytes(9)
    with pytest.raises(ProtocolError, match="tagged field 1 is not as long"):
        read(entity, b"\x00\x00\x01" + bytes(4) + epoch)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x02\x05g", "groups says 4 bytes and runs past the frame"),
        (b"\x02\x00", "groups has no value"),
        (b"\x02\x02\xff\x00\x00", "not UTF-8"),
        (b"\x02\x02g", "ends inside the message"),
        (b"\xff\xff\xff\xff\xff\x01", "does not fit"),
    ],
)
def test_sentences(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        read(DESCRIBE_GROUPS_V5, data)


def test_an_error_code_from_the_future_reads_as_unknown() -> None:
    heartbeat = message_class(12, 0, RESPONSE)
    assert read(heartbeat, (31_000).to_bytes(2, "big")).error_code == -1
    assert read(heartbeat, (27).to_bytes(2, "big")).error_code == 27


def test_a_time_beyond_what_python_holds_is_cut() -> None:
    commit = message_class(8, 2, REQUEST)
    data = b"\x00\x01g" + bytes(4) + b"\x00\x00" + b"\x7f" + b"\xff" * 7 + bytes(4)
    assert read(commit, data).retention_time > timedelta(days=999_000_000)
