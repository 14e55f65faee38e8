"""What is built is walked; a changed codec changes no record; varints round-trip."""

import pytest
from headrace.wire import records
from headrace.wire.batch import read_batch_header
from headrace.wire.compression import CODECS
from headrace.wire.varint import (
    append_uvarint,
    append_varlong,
    read_uvarint,
    read_varint,
    read_varlong,
    varlong_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.opened import recompress, validate

TEXTS = st.text(max_size=40)
DATA = st.none() | st.binary(max_size=80) | st.sampled_from([64, 200, 9000]).map(bytes)
HEADERS = st.lists(st.builds(records.Header, TEXTS, DATA), max_size=3).map(tuple)
TIMES = st.integers(0, 2**48)
RECORDS = st.lists(st.builds(records.NewRecord, DATA, DATA, TIMES, HEADERS), min_size=1, max_size=8)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@settings(max_examples=40, deadline=None)
@given(made=RECORDS, base_offset=st.integers(0, 2**62), other=st.sampled_from([*CODECS.values()]))
def test_built_records_are_walked_in_every_codec(codec, made, base_offset, other) -> None:
    batch = records.build_batch(made, base_offset=base_offset, codec=codec, producer_id=5)

    walked = list(records.walk(batch))

    assert [(r.key, r.value, r.timestamp, r.headers) for r in walked] == made
    assert [r.offset for r in walked] == list(range(base_offset, base_offset + len(made)))
    assert validate(batch, keys_required=False) is None
    changed = recompress(batch, other)
    assert list(records.walk(changed)) == walked
    assert read_batch_header(changed, 0).producer_id == 5


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_varlongs(value: int) -> None:
    out = bytearray(b"x")
    append_varlong(out, value)
    assert read_varlong(out, 1) == (value, len(out))
    assert varlong_bytes(value) == len(out) - 1
    if -(2**31) <= value < 2**31:
        assert read_varint(out, 1) == (value, len(out))


@given(value=st.integers(0, 2**32 - 1))
def test_unsigned_varints(value: int) -> None:
    out = bytearray()
    append_uvarint(out, value)
    assert read_uvarint(out, 0) == (value, len(out))
