import pytest
from headrace.wire.producer_snapshot import (
    CorruptSnapshot,
    ProducerEntry,
    decode_snapshot,
    encode_snapshot,
)

ENTRIES = [
    ProducerEntry(
        producer_id=producer_id,
        producer_epoch=1,
        last_sequence=2**31 - 1,
        last_offset=2**40,
        offset_delta=3,
        timestamp=1_700_000_000_000,
    )
    for producer_id in (0, 7, 2**62)
]


@pytest.mark.parametrize("entries", [[], ENTRIES])
def test_there_and_back(entries: list[ProducerEntry]) -> None:
    assert decode_snapshot(encode_snapshot(entries)) == entries


@pytest.mark.parametrize("place", range(0, 148, 11))
def test_no_changed_byte_goes_unseen(place: int) -> None:
    data = bytearray(encode_snapshot(ENTRIES))
    data[place] ^= 0x40
    with pytest.raises(CorruptSnapshot):
        decode_snapshot(data)


def test_no_cut_goes_unseen() -> None:
    data = encode_snapshot(ENTRIES)
    for end in range(len(data)):
        with pytest.raises(CorruptSnapshot):
            decode_snapshot(data[:end])
