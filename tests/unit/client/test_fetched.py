"""What a fetch brought: batches cut at either end, transaction markers, damage."""

import pytest
from headrace.client.fetched import Fetched, next_offset
from headrace.wire.batch import CONTROL
from headrace.wire.records import CorruptRecords, NewRecord, build_batch


def batch(first: int, *values: bytes, attributes: int = 0) -> bytes:
    records = [NewRecord(None, value, 7) for value in values]
    return bytes(build_batch(records, base_offset=first, attributes=attributes))


def fetched(data: bytes, offset: int) -> Fetched:
    return Fetched(
        topic="t",
        partition=0,
        offset=offset,
        next_offset=next_offset(memoryview(data), offset),
        high_watermark=100,
        data=memoryview(data),
    )


def test_records_before_the_offset_are_left_out() -> None:
    got = fetched(batch(10, b"a", b"b", b"c") + batch(13, b"d"), offset=12)
    assert [(r.offset, r.value) for r in got.records()] == [(12, b"c"), (13, b"d")]
    assert [b.whole for b in got.batches()] == [False, True]
    assert got.next_offset == 14


def test_a_batch_cut_at_the_byte_limit_is_fetched_again() -> None:
    got = fetched(batch(0, b"a") + batch(1, b"b")[:-1], offset=0)
    assert [r.value for r in got.records()] == [b"a"]
    assert got.next_offset == 1


def test_control_batches_are_passed_over_but_move_the_offset() -> None:
    got = fetched(batch(0, b"a") + batch(1, b"marker", attributes=CONTROL), offset=0)
    assert [r.value for r in got.records()] == [b"a"]
    assert got.next_offset == 2


def test_a_flipped_bit_is_told_with_its_place() -> None:
    data = bytearray(batch(0, b"a") + batch(1, b"hello"))
    data[-3] ^= 1
    with pytest.raises(CorruptRecords, match="offset 1 of t-0"):
        list(fetched(bytes(data), 0).records())


def test_nothing_fetched_stays_where_it_is() -> None:
    assert fetched(b"", 5).next_offset == 5
