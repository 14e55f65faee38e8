"""Which segments retention drops, and what it leaves alone."""

import os
from pathlib import Path

import pytest
from headrace.sim.disk import SimDisk
from headrace.storage.disk import NoDescriptor
from headrace.storage.log import Log, OffsetOutOfRange
from headrace.storage.os_disk import OsDisk

from tests.logs import NOW_MS, append, open_log, read_all


def filled(tmp_path: Path, **settings: object) -> Log:
    """Five segments of one batch a minute apart, the last one active."""
    log = open_log(OsDisk(), str(tmp_path / "t-0"), segment_bytes=150, **settings)
    for minute in range(5):
        append(log, timestamp=NOW_MS + minute * 60_000, epoch=minute)
    assert len(log.segments) == 5
    return log


def bases(log: Log) -> list[int]:
    return [segment.base_offset for segment in log.segments]


def test_by_time(tmp_path: Path) -> None:
    log = filled(tmp_path, retention_ms=120_000)
    assert log.retire_segments(NOW_MS + 120_000) == []
    renamed = log.retire_segments(NOW_MS + 180_001)
    assert bases(log) == [2, 3, 4]
    assert log.log_start_offset == 2
    assert log.epochs.entries[0] == (2, 2)
    assert all(name.endswith(".deleted") and os.path.exists(name) for name in renamed)
    assert sum(name.endswith(".log.deleted") for name in renamed) == 2
    assert len(read_all(log)) == 3
    with pytest.raises(OffsetOutOfRange):
        log.locate(1, 100, max_offset=5)


def test_everything_too_old_leaves_an_empty_log_at_its_end(tmp_path: Path) -> None:
    log = filled(tmp_path, retention_ms=1)
    log.retire_segments(NOW_MS + 10**9)
    assert (bases(log), log.log_start_offset, log.log_end_offset) == ([5], 5, 5)
    assert log.retire_segments(NOW_MS + 2 * 10**9) == [], "an empty segment stays"
    append(log, epoch=9)
    log.close()
    again = open_log(OsDisk(), log.path, clean=True)
    assert (again.log_start_offset, again.log_end_offset) == (5, 6)
    assert not [name for name in os.listdir(log.path) if name.endswith(".deleted")]


def test_records_without_time_go_by_the_file(tmp_path: Path) -> None:
    log = open_log(OsDisk(), str(tmp_path / "t-0"), segment_bytes=150, retention_ms=60_000)
    append(log, timestamp=-1)
    append(log, timestamp=-1)
    os.utime(log.segments[0].path, (1_000, 1_000))
    assert log.retire_segments(1_060_000) == []
    log.retire_segments(1_060_001)
    assert bases(log) == [1]


def test_by_size(tmp_path: Path) -> None:
    log = filled(tmp_path, retention_bytes=250, retention_ms=-1)
    size = log.segments[0].size
    log.retire_segments(NOW_MS)
    assert bases(log) == [2, 3, 4], "what would leave less than 250 stays"
    assert log.size_bytes == 3 * size >= 250 > 2 * size


def test_never_above_the_high_watermark(tmp_path: Path) -> None:
    log = filled(tmp_path, retention_ms=1)
    log.retire_segments(NOW_MS + 10**9, high_watermark=2)
    assert bases(log) == [2, 3, 4]


def test_below_the_log_start_whatever_the_policy(tmp_path: Path) -> None:
    log = filled(tmp_path, cleanup_policy=("compact",), retention_ms=1)
    assert log.retire_segments(NOW_MS + 10**9) == [], "compact alone knows no age"
    log.advance_start_offset(3)
    assert log.local_log_start_offset == 3
    log.retire_segments(NOW_MS)
    assert bases(log) == [3, 4]
    with pytest.raises(OffsetOutOfRange):
        log.advance_start_offset(6)
    log.advance_start_offset(5)
    assert log.retire_segments(NOW_MS) != []
    assert bases(log) == [4], "the active segment stays for DeleteRecords"
    log.advance_start_offset(1)
    assert log.log_start_offset == 5, "it never goes back"


def test_start_offset_beyond_the_log_restarts_it(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.close()
    again = open_log(OsDisk(), log.path, clean=True, log_start_offset=77)
    assert (again.log_start_offset, again.log_end_offset, again.size_bytes) == (77, 77, 0)


def test_without_a_descriptor_the_rest_goes_the_next_time(tmp_path: Path) -> None:
    disk = SimDisk()
    log = open_log(disk, "/t-0", segment_bytes=150, retention_ms=1)
    for minute in range(5):
        append(log, timestamp=NOW_MS + minute * 60_000)
    disk.fail("sync_dir", "/t-0", fault=NoDescriptor)
    log.retire_segments(NOW_MS + 10**9)
    assert (bases(log), log.log_start_offset) == ([1, 2, 3, 4, 5], 1)
    assert len(read_all(log)) == 4
    log.retire_segments(NOW_MS + 10**9)
    assert bases(log) == [5]
