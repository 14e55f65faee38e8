"""The fast way and the general way to build records agree, and the fast reader reads both."""

import pytest
from headrace.client.decode import decode_values
from headrace.client.encode import RECORDS_MAX, encode_values
from headrace.wire.records import CorruptRecords, Header, NewRecord, build_batch, unpack
from hypothesis import given
from hypothesis import strategies as st

# Lengths around which a varint takes another byte, and runs long enough for longer deltas.
LENGTHS = st.sampled_from([0, 1, 2, 55, 56, 57, 62, 63, 64, 65, 8180, 8185, 8191, 8192, 8193])


def payload_of(records: list[NewRecord]) -> bytes:
    return unpack(build_batch(records))[1]


@given(st.lists(LENGTHS, min_size=1, max_size=100))
def test_runs_of_values_are_encoded_as_records_are(lengths: list[int]) -> None:
    values = [bytes([n & 0xFF]) * n for n in lengths]
    assert encode_values(values) == payload_of([NewRecord(None, v, 0) for v in values])


@pytest.mark.parametrize("count", [63, 64, 65, 8191, 8192, 8193, RECORDS_MAX])
def test_offset_deltas_grow_by_a_byte_where_they_should(count: int) -> None:
    values = [b"%d" % n for n in range(count)]
    assert encode_values(values) == payload_of([NewRecord(None, v, 0) for v in values])


def test_a_value_that_holds_what_stands_between_two_is_not_cut() -> None:
    between = encode_values([b"a", b"b"]).removeprefix(encode_values([b"a"])[:-1])[:-1]
    decoy = [b"x" + between + b"y", b"z"]
    assert decode_values(encode_values(decoy), 2) == decoy
    # The second record has a key, so the cuts found are as many as the records, and wrong.
    records = [NewRecord(None, decoy[0], 0), NewRecord(b"k", b"v", 0)]
    assert decode_values(payload_of(records), 2) == [decoy[0], b"v"]


RECORDS = st.builds(
    NewRecord,
    st.none() | st.binary(max_size=100),
    st.none() | st.binary(max_size=200),
    st.integers(0, 2**40),
    st.lists(st.builds(Header, st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=3),
)


@given(st.lists(RECORDS, min_size=1, max_size=80))
def test_values_are_read_from_any_records(records: list[NewRecord]) -> None:
    assert decode_values(payload_of(records), len(records)) == [r.value for r in records]


@given(st.lists(RECORDS, min_size=1, max_size=5), st.data())
def test_damaged_records_are_refused_and_nothing_else_happens(
    records: list[NewRecord], data: st.DataObject
) -> None:
    payload = bytearray(payload_of(records))
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position] = data.draw(st.integers(0, 255))
    try:
        values = decode_values(bytes(payload), len(records))
    except CorruptRecords:
        return
    assert len(values) == len(records)


def test_too_few_records_are_refused() -> None:
    payload = encode_values([b"a", b"b"])
    with pytest.raises(CorruptRecords):
        decode_values(payload, 1)
    with pytest.raises(CorruptRecords):
        decode_values(payload, 3)
