from uuid import UUID

import pytest
from headrace.wire.offsets_topic import (
    GroupKey,
    GroupValue,
    OffsetKey,
    OffsetValue,
    UnknownKey,
    UnreadableRecord,
    decode_group,
    decode_key,
    decode_offset,
    encode_group,
    encode_key,
    encode_offset,
)


@pytest.mark.parametrize(
    "key", [GroupKey(group_id="g"), OffsetKey(group_id="ä", topic="", partition=2**31 - 1)]
)
def test_keys(key: OffsetKey | GroupKey) -> None:
    assert decode_key(encode_key(key)) == key


def test_the_oldest_key_of_an_offset_reads_as_the_same_offset() -> None:
    key = OffsetKey(group_id="g", topic="t", partition=1)
    assert decode_key(b"\x00\x00" + encode_key(key)[2:]) == key


@pytest.mark.parametrize("record_type", [3, 16, -1])
def test_other_records_are_unknown(record_type: int) -> None:
    data = record_type.to_bytes(2, "big", signed=True) + b"whatever"
    assert decode_key(data) == UnknownKey(record_type=record_type)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x00\x01", b"\x00\x02\x00\x05ab", b"\x00\x02\xff\xff"]
)
def test_broken_keys(data: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode_key(data)


@pytest.mark.parametrize("topic_id", [None, UUID(int=3)])
def test_offsets(topic_id: UUID | None) -> None:
    value = OffsetValue(
        offset=7, leader_epoch=3, metadata="ä", commit_timestamp_ms=9, topic_id=topic_id
    )
    data = encode_offset(value)
    assert data[:2] == b"\x00\x04"
    assert decode_offset(data) == value


def test_an_expiry_takes_the_version_that_has_one() -> None:
    value = OffsetValue(offset=7, metadata="", commit_timestamp_ms=9, expire_timestamp_ms=11)
    assert encode_offset(value)[:2] == b"\x00\x01"
    assert decode_offset(encode_offset(value)) == value


def test_an_unknown_tagged_field_is_skipped() -> None:
    value = OffsetValue(offset=7, metadata="m", commit_timestamp_ms=9)
    data = encode_offset(value)
    assert decode_offset(data[:-1] + b"\x01\x09\x03abc") == value


def test_values_of_a_newer_kafka_cannot_be_read() -> None:
    for decode in (decode_offset, decode_group):
        with pytest.raises(UnreadableRecord, match="version 5 is unknown"):
            decode(b"\x00\x05" + bytes(40))


def test_an_empty_group() -> None:
    empty = GroupValue(current_state_timestamp_ms=5)
    assert decode_group(encode_group(empty)) == empty
