"""After a miss, what follows on goes to a thread; others and later reads ask the page cache."""

from types import SimpleNamespace
from typing import Any

from headrace.server.cold_readers import _READERS_MAX, _READS, ColdReaders
from headrace.storage.log import Slice

FILE: Any = SimpleNamespace(path="log")


def test_reads_that_follow_on_are_expected_cold_and_others_are_not() -> None:
    cold = ColdReaders()
    assert not cold.expects(Slice(FILE, 0, 100))
    cold.missed(Slice(FILE, 0, 100))
    assert cold.expects(Slice(FILE, 100, 50))
    assert not cold.expects(Slice(FILE, 50, 50))
    cold.missed(Slice(FILE, 100, 50))
    assert cold.expects(Slice(FILE, 150, 1))
    assert not cold.expects(Slice(FILE, 100, 50))


def test_now_and_then_the_page_cache_is_asked_again() -> None:
    cold = ColdReaders()
    position = 0
    cold.missed(Slice(FILE, position, 10))
    followed = 0
    while cold.expects(Slice(FILE, position + 10, 10)):
        position += 10
        cold.missed(Slice(FILE, position, 10))
        followed += 1
        assert followed <= _READS
    assert followed == _READS


def test_only_so_many_readers_are_remembered() -> None:
    cold = ColdReaders()
    for number in range(2 * _READERS_MAX):
        cold.missed(Slice(FILE, 1000 * number, 10))
    known = sum(cold.expects(Slice(FILE, 1000 * n + 10, 1)) for n in range(2 * _READERS_MAX))
    assert known == _READERS_MAX
