import pytest
from headrace.base.errors import Code, Refusal
from headrace.base.invariant import Bug
from headrace.wire.batch import read_batch_header
from headrace.wire.compression import GZIP, NONE, ZSTD
from headrace.wire.records import (
    CorruptRecords,
    Header,
    NewRecord,
    build_batch,
    encode_record,
    seal_batch,
    spans,
    unpack,
    walk,
)

from tests.opened import recompress, validate

HEADER = read_batch_header(build_batch([NewRecord(b"k", b"v", 5)]), 0)


def sealed(payload: bytes, count: int, codec: int = NONE) -> bytearray:
    return seal_batch(HEADER._replace(record_count=count), payload, codec)


def record(*parts: object) -> bytes:
    return b"".join(encode_record(*parts))


def test_what_a_built_batch_says() -> None:
    made = build_batch(
        [NewRecord(None, b"a", 100), NewRecord(b"k", None, 300), NewRecord(b"", b"", 200)],
        base_offset=40,
        codec=ZSTD,
        producer_id=7,
        producer_epoch=2,
        base_sequence=9,
    )
    header = read_batch_header(made, 0)
    assert (header.base_offset, header.last_offset, header.record_count) == (40, 42, 3)
    assert (header.base_timestamp, header.max_timestamp) == (100, 300)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 2, 9)
    assert [(r.offset, r.timestamp, r.key, r.value) for r in walk(made)] == [
        (40, 100, None, b"a"),
        (41, 300, b"k", None),
        (42, 200, b"", b""),
    ]


def test_an_empty_batch_is_our_bug() -> None:
    with pytest.raises(Bug):
        build_batch([])


def test_spans_give_back_the_bytes_of_each_record() -> None:
    one, two = record(0, 0, None, b"a"), record(1, 5, b"k", b"b", (Header("h", None),))
    found = list(spans(one + two, 2))
    assert [(one + two)[span[0] : span[1]] for span in found] == [one, two]
    assert [(span[2], span[3], span[5], span[7]) for span in found] == [(0, 0, -1, 1), (5, 1, 1, 1)]


GOOD = record(0, 0, b"k", b"v")


@pytest.mark.parametrize(
    ("payload", "count", "why"),
    [
        (GOOD, 2, "do not fit"),
        (GOOD + GOOD, 1, "behind the last record"),
        (GOOD[:-1] + b"\x02", 1, "1 record headers do not fit"),
        (b"\x02" + GOOD[1:], 1, "not true"),
        (b"\x7e" + GOOD[1:], 1, "not true"),
        (b"\x10\x00\x00\x00\x7e" + bytes(8), 1, "past the batch"),
        (b"\x0c\x00\x00\x00\x03\x01\x00", 1, "not true"),
        (b"\xff" * 20, 1, "past the batch"),
        (record(0, 0, b"k", b"v", (Header("h", b"x"),))[:-1], 1, "not true"),
    ],
)
def test_records_that_are_not_true(payload: bytes, count: int, why: str) -> None:
    batch = sealed(payload, count)
    with pytest.raises(CorruptRecords, match=why):
        list(walk(batch))
    refusal = validate(batch, keys_required=False)
    assert refusal is not None and refusal.code == Code.INVALID_RECORD


def test_headers_that_are_not_true() -> None:
    whole = record(0, 0, None, None, (Header("key", b"value"),))
    place = whole.index(b"key") - 1
    for lie in (b"\x01", b"\x7e", b"\x0a"):
        batch = sealed(whole[:place] + lie + whole[place + 1 :], 1)
        with pytest.raises(CorruptRecords, match="header"):
            list(walk(batch))


def test_a_compacted_topic_needs_keys() -> None:
    keyless = build_batch([NewRecord(b"k", b"v", 1), NewRecord(None, b"v", 1)])
    assert validate(keyless, keys_required=False) is None
    refusal = validate(keyless, keys_required=True)
    assert refusal is not None and refusal.code == Code.INVALID_RECORD
    assert "record 1 has no key" in refusal.message


def test_offsets_must_count_up() -> None:
    batch = sealed(record(0, 0, b"k", b"v") + record(2, 0, b"k", b"v"), 2)
    refusal = validate(batch, keys_required=False)
    assert refusal is not None and "offset delta 2" in refusal.message


def test_broken_compression_is_a_corrupt_message() -> None:
    batch = sealed(GOOD, 1, GZIP)
    batch[-3] ^= 0xFF
    assert validate(batch, keys_required=False).code == Code.CORRUPT_MESSAGE
    refusal = recompress(batch, NONE)
    assert isinstance(refusal, Refusal) and refusal.code == Code.CORRUPT_MESSAGE


def test_recompression_leaves_all_but_the_codec() -> None:
    made = build_batch([NewRecord(b"k", b"v" * 500, 9)], producer_id=3, attributes=0x10)
    packed = recompress(made, ZSTD)
    assert not isinstance(packed, Refusal)
    assert len(packed) < len(made)
    again = recompress(packed, NONE)
    assert again == made


def test_unpack_wants_one_whole_batch() -> None:
    made = build_batch([NewRecord(b"k", b"v", 9)])
    for wrong in (made[:-1], made + b"x", made[:30], b""):
        with pytest.raises(CorruptRecords):
            unpack(wrong)
    with pytest.raises(CorruptRecords, match="more than 10 bytes"):
        unpack(build_batch([NewRecord(b"k", b"v" * 100, 9)], codec=ZSTD), bytes_max=10)
