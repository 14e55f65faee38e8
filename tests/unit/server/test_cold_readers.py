"""After a miss, what follows on goes to a thread, up to the end that is still in memory."""

from types import SimpleNamespace
from typing import Any

import pytest
from headrace.server.cold_readers import (
    _READERS_MAX,
    _WARM_END_BYTES,
    ColdReaders,
    warm_ahead,
)
from headrace.storage.log import Slice

MIB = 1 << 20
FILE: Any = SimpleNamespace(path="log", size=100 * MIB)


def test_reads_that_follow_on_are_expected_cold_and_others_are_not() -> None:
    cold = ColdReaders()
    assert not cold.expects(Slice(FILE, 0, 100))
    cold.was_read(Slice(FILE, 0, 100), warm=False)
    assert cold.expects(Slice(FILE, 100, 50))
    assert not cold.expects(Slice(FILE, 50, 50))
    cold.was_read(Slice(FILE, 100, 50), warm=False)
    assert cold.expects(Slice(FILE, 150, 1))
    assert not cold.expects(Slice(FILE, 100, 50))


def test_near_the_end_of_the_file_the_page_cache_is_asked_again() -> None:
    cold, position = ColdReaders(), 0
    cold.was_read(Slice(FILE, position, MIB), warm=False)
    while cold.expects(Slice(FILE, position + MIB, MIB)):
        position += MIB
        cold.was_read(Slice(FILE, position, MIB), warm=False)
        assert position < FILE.size
    assert FILE.size - (position + MIB) == _WARM_END_BYTES


class Cached:
    """A file of which the bytes before `cold_from` are in memory."""

    path = "log"
    size = 100 * MIB

    def __init__(self, cold_from: int) -> None:
        self.cold_from = cold_from

    def resident(self, count: int, position: int) -> bool:
        return position + count <= self.cold_from


@pytest.mark.parametrize(
    ("cold_from", "warm"),
    [(100 * MIB, True), (55 * MIB, True), (54 * MIB, False), (17 * MIB, False)],
)
def test_what_the_kernel_read_ahead_makes_no_file_warm(cold_from: int, warm: bool) -> None:
    """Of 100 MiB, 6 were read: 24 and 48 MiB farther on are asked for, 96 are not there."""
    file: Any = Cached(cold_from)
    assert warm_ahead(Slice(file, 5 * MIB, MIB)) == warm


def test_near_its_end_no_file_is_called_warm() -> None:
    file: Any = Cached(100 * MIB)
    assert not warm_ahead(Slice(file, 90 * MIB, MIB))


def test_a_warm_file_ends_it() -> None:
    """One cold page must not slow the reader down to the file's end."""
    cold = ColdReaders()
    cold.was_read(Slice(FILE, 0, MIB), warm=False)
    cold.was_read(Slice(FILE, MIB, MIB), warm=True)
    assert not cold.expects(Slice(FILE, MIB, MIB)) and not cold.expects(Slice(FILE, 2 * MIB, MIB))


def test_only_so_many_readers_are_remembered() -> None:
    cold = ColdReaders()
    for number in range(2 * _READERS_MAX):
        cold.was_read(Slice(FILE, 1000 * number, 10), warm=False)
    known = sum(cold.expects(Slice(FILE, 1000 * n + 10, 1)) for n in range(2 * _READERS_MAX))
    assert known == _READERS_MAX
