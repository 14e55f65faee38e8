"""After a miss, what follows on goes to a thread, up to the end that is still in memory."""

from types import SimpleNamespace
from typing import Any

from headrace.server.cold_readers import _READERS_MAX, _WARM_END_BYTES, ColdReaders
from headrace.storage.log import Slice

MIB = 1 << 20
FILE: Any = SimpleNamespace(path="log", size=100 * MIB)


def test_reads_that_follow_on_are_expected_cold_and_others_are_not() -> None:
    cold = ColdReaders()
    assert not cold.expects(Slice(FILE, 0, 100))
    cold.missed(Slice(FILE, 0, 100))
    assert cold.expects(Slice(FILE, 100, 50))
    assert not cold.expects(Slice(FILE, 50, 50))
    cold.missed(Slice(FILE, 100, 50))
    assert cold.expects(Slice(FILE, 150, 1))
    assert not cold.expects(Slice(FILE, 100, 50))


def test_near_the_end_of_the_file_the_page_cache_is_asked_again() -> None:
    cold, position = ColdReaders(), 0
    cold.missed(Slice(FILE, position, MIB))
    while cold.expects(Slice(FILE, position + MIB, MIB)):
        position += MIB
        cold.missed(Slice(FILE, position, MIB))
        assert position < FILE.size
    assert FILE.size - (position + MIB) == _WARM_END_BYTES


def test_only_so_many_readers_are_remembered() -> None:
    cold = ColdReaders()
    for number in range(2 * _READERS_MAX):
        cold.missed(Slice(FILE, 1000 * number, 10))
    known = sum(cold.expects(Slice(FILE, 1000 * n + 10, 1)) for n in range(2 * _READERS_MAX))
    assert known == _READERS_MAX
