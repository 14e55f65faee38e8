"""Lag in seconds: read once a place, few a scrape, and everybody has a turn."""

from headrace.server import lag_seconds
from headrace.server.lag_seconds import LagSeconds
from headrace.wire.records import NewRecord, build_batch

from tests.coordinators import MemoryFile, MemoryPartition, MemoryPartitions, Part, StillClock

COUNT = 3 * lag_seconds._READS_MAX - 10


class CountedFile(MemoryFile):
    def __init__(self, clock: StillClock) -> None:
        super().__init__()
        self.clock = clock
        self.reads = 0
        self.read_ms = 0

    def pread(self, count: int, position: int) -> bytes:
        self.reads += 1
        self.clock.ms += self.read_ms
        return super().pread(count, position)


def made() -> tuple[LagSeconds, CountedFile, StillClock]:
    clock = StillClock()
    partition = MemoryPartition(0)
    file = partition.log.file = CountedFile(clock)
    for _ in range(COUNT + 1):
        partition.append_as_leader(build_batch([NewRecord(b"k", b"v", clock.wall_ms())]), 0)
    assert isinstance(partition.log.locate(0, 1, max_offset=1), Part)
    partitions = MemoryPartitions({("t", 0): partition})
    clock.ms = 5000
    return LagSeconds(partitions, clock), file, clock  # type: ignore[arg-type]


def test_a_scrape_reads_little_and_what_it_found_is_kept() -> None:
    lags, file, clock = made()
    committed = [(f"g{n}", "t", 0, n) for n in range(COUNT)]
    for scrape in (1, 2, 3):
        found = dict(lags.of(committed))
        assert file.reads == min(scrape * lag_seconds._READS_MAX, COUNT)
        assert len(found) == file.reads
    clock.ms = 6000
    assert set(dict(lags.of(committed)).values()) == {6.0}
    assert file.reads == COUNT


def test_a_place_is_read_again_once_the_group_moved_and_in_turn() -> None:
    lags, file, _ = made()
    for step in range(6):
        committed = [(f"g{n}", "t", 0, n + step % 2) for n in range(COUNT - 1)]
        before = file.reads
        found = dict(lags.of(committed))
        assert file.reads - before <= lag_seconds._READS_MAX
    # Groups that always move keep what was found last between their turns.
    assert len(found) == len(committed)
    assert dict(lags.of([("new", "t", 0, COUNT + 1)])) == {("new", "t", 0, COUNT + 1): 0.0}
    assert dict(lags.of([("new", "gone", 0, 0)])) == {}


def test_a_slow_device_ends_the_reading_of_a_scrape() -> None:
    lags, file, _ = made()
    file.read_ms = 50
    assert len(dict(lags.of([(f"g{n}", "t", 0, n) for n in range(9)]))) == 1
    assert file.reads == 1
