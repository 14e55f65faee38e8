"""The epoch cache against KIP-101's and KIP-279's rules."""

import pytest
from headrace.storage.epochs import CorruptEpochs, EpochCache, EpochEntry, decode_epochs


def cache(*entries: tuple[int, int]) -> EpochCache:
    return EpochCache(EpochEntry(*entry) for entry in entries)


@pytest.mark.parametrize(
    ("epoch", "answer"),
    [
        (5, (5, 30)),  # the latest: up to the log's end
        (6, (-1, -1)),  # newer than all
        (3, (2, 20)),  # never seen: the one below it
        (2, (2, 20)),
        (1, (1, 0)),  # older than the first
        (-1, (-1, -1)),
    ],
)
def test_end_offset_for(epoch: int, answer: tuple[int, int]) -> None:
    known = cache((2, 0), (4, 20), (5, 25))
    assert known.end_offset_for(epoch, 30) == answer


def test_no_entries_know_nothing() -> None:
    assert EpochCache().end_offset_for(0, 10) == (-1, -1)
    assert EpochCache().latest == -1
    assert EpochCache().epoch_at(5) == -1


def test_assign_drops_what_contradicts() -> None:
    known = cache((1, 0), (2, 10), (3, 20))
    known.assign(3, 25)
    assert not known.dirty
    known.assign(4, 20)
    assert known.entries == ((1, 0), (2, 10), (4, 20))
    known.assign(2, 15)
    assert known.entries == ((1, 0), (2, 15))
    known.assign(-1, 30)
    assert known.entries == ((1, 0), (2, 15))
    assert known.dirty


def test_truncation_at_both_ends() -> None:
    known = cache((1, 0), (2, 10), (3, 20))
    known.truncate_from_end(20)
    assert known.entries == ((1, 0), (2, 10))
    known.truncate_from_start(5)
    assert known.entries == ((1, 5), (2, 10))
    known.truncate_from_start(10)
    assert known.entries == ((2, 10),)
    known.truncate_from_start(50)
    assert known.entries == ((2, 50),)
    known.clear()
    assert known.entries == ()


@pytest.mark.parametrize("offset", range(25))
def test_epoch_at(offset: int) -> None:
    known = cache((1, 5), (2, 10), (7, 20))
    wanted = -1 if offset < 5 else 1 if offset < 10 else 2 if offset < 20 else 7
    assert known.epoch_at(offset) == wanted


def test_the_file_is_kafkas_and_comes_back() -> None:
    known = cache((1, 0), (2, 10))
    assert known.encode() == b"0\n2\n1 0\n2 10\n"
    assert decode_epochs(known.encode()).entries == known.entries
    assert decode_epochs(b"").entries == ()


@pytest.mark.parametrize(
    "data",
    [b"1\n0\n", b"0\n2\n1 0\n", b"0\n1\n1\n", b"0\nx\n", b"\xff", b"0\n2\n2 0\n1 5\n", b"0"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptEpochs):
        decode_epochs(data)
