"""Rolling, flushing, closing, and what a full disk or a crash in between leaves."""

import errno
import os
from pathlib import Path

import pytest
from headrace.base.invariant import Bug
from headrace.base.units import INT32_MAX
from headrace.config.topic import LogSettings
from headrace.storage.disk import Damaged, DiskFault, DiskFull, File, NotInMemory
from headrace.storage.log import Log, Slice
from headrace.storage.os_disk import OsDisk
from headrace.wire.batch import read_batch_header, stamp
from headrace.wire.records import NewRecord, build_batch

from tests.logs import NOW_MS, Diary, append, flush, open_log, read_all


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "t-0")


def bases(log: Log) -> list[int]:
    return [segment.base_offset for segment in log.segments]


def test_rolls_before_a_batch_that_would_not_fit(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=250)
    sizes = [len(append(log)) for _ in range(5)]
    assert max(sizes) * 2 < 250 < min(sizes) * 3
    assert bases(log) == [0, 2, 4]
    assert all(segment.size <= 250 for segment in log.segments)


def test_one_batch_larger_than_a_segment_gets_its_own(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=250)
    append(log, size=1000)
    append(log)
    assert bases(log) == [0, 1]


def test_rolls_by_the_time_of_records_and_else_by_the_clock(path: str) -> None:
    log = open_log(OsDisk(), path, segment_ms=1000)
    append(log, timestamp=NOW_MS)
    append(log, timestamp=NOW_MS + 1000, now_ms=NOW_MS + 99_999)
    assert bases(log) == [0], "the clock does not count where records have timestamps"
    append(log, timestamp=NOW_MS + 1001)
    assert bases(log) == [0, 2]
    log.roll(NOW_MS)
    append(log, timestamp=-1, now_ms=NOW_MS)
    append(log, timestamp=-1, now_ms=NOW_MS + 1000)
    assert bases(log) == [0, 2, 3]
    append(log, timestamp=-1, now_ms=NOW_MS + 1001)
    assert bases(log) == [0, 2, 3, 5]


def test_jitter_shortens_and_is_the_same_after_a_restart(path: str) -> None:
    log = open_log(OsDisk(), path, segment_ms=10_000, segment_jitter_ms=10_000)
    append(log)
    first = next(ms for ms in range(10_001) if ms + NOW_MS > log._roll_above_timestamp)
    assert 0 < first < 10_000
    limit = log._roll_above_timestamp
    log.close()
    again = open_log(OsDisk(), path, clean=True, segment_ms=10_000, segment_jitter_ms=10_000)
    assert again._roll_above_timestamp == limit


def test_rolls_when_an_index_is_full(path: str) -> None:
    log = open_log(OsDisk(), path, index_interval_bytes=0, segment_index_bytes=48)
    for number in range(12):
        append(log, timestamp=NOW_MS + number)
    assert len(log.segments) > 2
    assert all(0 < segment.index.entries <= 6 for segment in log.segments[:-1])
    assert all(segment.time_index.entries <= 4 for segment in log.segments[:-1])


def test_rolls_before_a_relative_offset_overflows(path: str) -> None:
    log = open_log(OsDisk(), path)
    append(log)
    append(log, gap=INT32_MAX - 1)
    assert bases(log) == [0], "the last offset that the segment can hold"
    append(log)
    assert bases(log) == [0, INT32_MAX + 1]


def test_an_empty_segment_moves_to_a_batch_far_on(path: str) -> None:
    log = open_log(OsDisk(), path)
    append(log, gap=INT32_MAX + 5)
    assert bases(log) == [INT32_MAX + 5]
    assert len(read_all(log, INT32_MAX + 5)) == 1


def test_settings_change_while_open(path: str) -> None:
    log = open_log(OsDisk(), path)
    append(log)
    log.settings = LogSettings(segment_bytes=150)
    append(log)
    assert bases(log) == [0, 1]


def test_an_offset_that_goes_back_is_our_bug(path: str) -> None:
    log = open_log(OsDisk(), path)
    append(log)
    batch = build_batch([NewRecord(None, b"", NOW_MS)])
    stamp(batch, 0, 0, 9)
    with pytest.raises(Bug):
        log.append(batch, last_offset=0, max_timestamp=NOW_MS, leader_epoch=9, now_ms=NOW_MS)


def test_recovery_begins_at_the_checkpoint(path: str) -> None:
    log = open_log(OsDisk(), path, index_interval_bytes=200)
    for _ in range(50):
        append(log)
    flush(log)
    tail = sum(len(append(log)) for _ in range(3))
    assert (log.recovery_point, log.durable_offset, log.log_end_offset) == (50, 50, 53)
    log.close(clean=False)
    ledger = Diary()
    again = open_log(OsDisk(), path, ledger=ledger, recovery_point=50, index_interval_bytes=200)
    assert again.log_end_offset == 53
    assert again.recovered.scanned_bytes < tail + 400, "only from the index entry below"
    assert ledger.seen == [50, 51, 52], "the snapshot says the rest"
    assert len(read_all(again)) == 53


def test_a_flush_of_batches_alone_moves_no_recovery_point(path: str) -> None:
    log = open_log(OsDisk(), path)
    append(log)
    flush(log, checkpoint=False)
    assert (log.recovery_point, log.durable_offset) == (0, 1)


def test_a_truncation_cancels_the_flush_under_way(path: str) -> None:
    log = open_log(OsDisk(), path)
    for _ in range(4):
        append(log)
    begun = log.begin_flush()
    log.truncate_to(2)
    begun.run()
    log.flushed(begun)
    assert (log.recovery_point, log.durable_offset, log.log_end_offset) == (0, 0, 2)


def test_a_flush_keeps_what_was_rolled_meanwhile(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=150, retention_bytes=0)
    append(log)
    append(log)
    begun = log.begin_flush()
    append(log)
    log.retire_segments(NOW_MS, high_watermark=1)
    begun.run()
    log.flushed(begun)
    assert [segment.base_offset for segment in log._unsynced] == [1]


def test_snapshots_stand_at_segments_and_at_the_end(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=250)
    for number in range(5):
        append(log)
        if number in (0, 2, 3):
            flush(log)
    log.close()
    names = sorted(int(n[:20]) for n in os.listdir(path) if n.endswith(".snapshot"))
    assert names == [2, 4, 5]


@pytest.mark.parametrize("damage", ["gone", "short", "spoiled"])
def test_a_lost_index_is_built_again(path: str, damage: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=500, index_interval_bytes=100)
    written = [append(log) for _ in range(12)]
    log.close()
    wanted = {n: (Path(path) / n).read_bytes() for n in os.listdir(path) if "index" in n}
    for name in wanted:
        file = Path(path) / name
        if damage == "gone":
            file.unlink()
        elif damage == "short":
            file.write_bytes(wanted[name][:-3] or b"abc")
        else:
            file.write_bytes(b"\x7f" * len(wanted[name]))
    again = open_log(OsDisk(), path, clean=True, segment_bytes=500, index_interval_bytes=100)
    assert read_all(again, max_bytes=150) == written
    assert again.offset_for_timestamp(NOW_MS) is not None
    again.close()
    assert wanted == {n: (Path(path) / n).read_bytes() for n in wanted}


def test_lost_epochs_are_read_from_the_batches(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=250)
    for epoch in (0, 0, 3, 3, 4):
        append(log, epoch=epoch)
    wanted = log.epochs.entries
    assert wanted == ((0, 0), (3, 2), (4, 4))
    log.close()
    checkpoint = Path(path) / "leader-epoch-checkpoint"
    for content in (None, b"0\n7\n1 2\n"):
        checkpoint.unlink() if content is None else checkpoint.write_bytes(content)
        again = open_log(OsDisk(), path, clean=True, segment_bytes=250)
        assert again.epochs.entries == wanted
        again.close()


class Tight(OsDisk):
    """A disk on which the next `allowed` appends succeed."""

    allowed = 10**9

    def _open(self, path: str, *, create: bool) -> "TightFile":  # type: ignore[override]
        return TightFile(self, super()._open(path, create=create))


class TightFile:
    def __init__(self, disk: Tight, file: object) -> None:
        self.__dict__.update(_disk=disk, _file=file)

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def append(self, data: bytes) -> None:
        if self._disk.allowed <= 0:
            raise DiskFull("no room")
        self._disk.allowed -= 1
        self._file.append(data)


@pytest.mark.parametrize("allowed", range(8))
def test_a_full_disk_leaves_the_log_as_it_was_and_usable(path: str, allowed: int) -> None:
    disk = Tight()
    small = {"segment_bytes": 250, "index_interval_bytes": 0}
    log = open_log(disk, path, **small)
    written = [append(log) for _ in range(3)]
    disk.allowed = allowed
    failed = 0
    for _ in range(4):
        end, size = log.log_end_offset, log.size_bytes
        try:
            written.append(append(log))
        except DiskFull:
            failed += 1
            assert (log.log_end_offset, log.size_bytes) == (end, size)
            assert read_all(log) == written
    assert failed
    disk.allowed = 0
    begun = log.begin_flush()
    begun.run()
    log.flushed(begun)
    assert log.durable_offset == log.log_end_offset, "batches that are there become durable"
    assert log.recovery_point == 0
    disk.allowed = 10**9
    written.append(append(log))
    log.close()
    again = open_log(OsDisk(), path, clean=True, **small)
    assert read_all(again) == written


def test_a_close_on_a_full_disk_is_not_a_clean_one(path: str) -> None:
    disk = Tight()
    log = open_log(disk, path)
    written = [append(log)]
    disk.allowed = 0
    with pytest.raises(DiskFull):
        log.close()
    again = open_log(disk, path)
    assert read_all(again) == written, "recovery needs no room"


def test_begin_close_leaves_nothing_to_sync(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(OsDisk(), path)
    append(log)
    begun = log.begin_close()
    begun.run()
    log.flushed(begun)

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "no more syncs")

    monkeypatch.setattr(os, "fdatasync", refuse)
    monkeypatch.setattr(os, "fsync", refuse)
    log.close()
    assert open_log(OsDisk(), path, clean=True).log_end_offset == 1


def test_a_failed_sync_is_a_fault(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(OsDisk(), path)
    append(log)

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(DiskFault):
        log.begin_flush().run()


def test_a_flush_of_a_deleted_log_leaves_the_new_one_of_its_name_alone(path: str) -> None:
    disk = OsDisk()
    old = open_log(disk, path)
    append(old, epoch=5)
    late = old.begin_flush()
    assert late.epochs is not None
    old.close(clean=False)
    disk.rename(path, f"{path}.gone-delete")
    late.run()  # no folder of the name: nothing to do
    new = open_log(disk, path)
    append(new, epoch=0)
    flush(new)
    late.run()
    new.close()
    again = open_log(disk, path, clean=True)
    assert again.epochs.latest == 0


def damage(log: Log) -> None:
    """The second batch of the first, rolled segment gets a length that cannot be."""
    with open(log.segments[0].path, "r+b") as file:
        first = read_batch_header(file.read(61), 0)
        file.seek(first.size_bytes + 8)
        file.write(bytes(4))


def test_damage_is_told_to_who_reads_there_and_retention_goes_on(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=1000, retention_ms=1000)
    while len(log.segments) < 3:
        append(log)
    log.close()
    damage(log)
    for name in os.listdir(path):
        if "index" in name or name.endswith(".snapshot"):
            os.remove(f"{path}/{name}")  # so that opening has to read it as well
    os.remove(f"{path}/leader-epoch-checkpoint")
    again = open_log(OsDisk(), path, clean=True, segment_bytes=1000, retention_ms=1000)
    assert again.log_end_offset == log.log_end_offset
    last = again.segments[-1].base_offset
    with pytest.raises(Damaged, match=r"\.log .*damaged|holds no batch"):
        again.locate(1, 1000, max_offset=again.log_end_offset)
    with pytest.raises(Damaged):
        again.offset_for_timestamp(NOW_MS)
    assert again.locate(last, 1000, max_offset=again.log_end_offset).count
    os.utime(again.segments[0].path, (NOW_MS / 1000, NOW_MS / 1000))
    assert again.retire_segments(NOW_MS + 5000)
    assert again.log_start_offset >= last


def test_a_slice_outlives_its_segment(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=150, retention_bytes=0)
    first = append(log)
    append(log)
    piece = log.locate(0, 1000, max_offset=2)
    for retired in log.retire_segments(NOW_MS):
        log.disk.remove(retired)
    assert piece.file.pread(piece.count, piece.position) == first


def test_few_descriptors_for_many_segments(path: str) -> None:
    log = open_log(OsDisk(), path, segment_bytes=150)
    for _ in range(60):
        append(log)
    before = len(os.listdir("/proc/self/fd"))
    assert len(read_all(log)) == 60
    assert len(os.listdir("/proc/self/fd")) <= before + 3 * log.open_segments.limit


def test_restart_at_begins_empty(path: str) -> None:
    ledger = Diary()
    log = open_log(OsDisk(), path, ledger=ledger, segment_bytes=150)
    for epoch in range(3):
        append(log, epoch=epoch)
    log.restart_at(100)
    assert (log.log_start_offset, log.log_end_offset, bases(log)) == (100, 100, [100])
    assert (log.epochs.entries, ledger.last_offset, log.size_bytes) == ((), -1, 0)
    append(log, epoch=7)
    assert read_batch_header(read_all(log)[0], 0).base_offset == 100
    log.close()
    again = open_log(OsDisk(), path, clean=True, log_start_offset=100)
    assert (again.log_start_offset, again.log_end_offset) == (100, 101)


def test_an_impatient_look_says_what_to_bring_into_memory_first(path: str) -> None:
    """Whatever a look-up reads, index or batch, may be on the device."""
    log = open_log(OsDisk(), path, segment_bytes=40_000, index_interval_bytes=1000)
    for _ in range(1500):
        append(log)
    flush(log)
    known: set[tuple[str, int]] = set()
    missed: set[str] = set()

    def read(file: File, count: int, position: int) -> bytes:
        if (file.path, position) not in known:
            raise NotInMemory(file, count, position)
        return file.pread(count, position)

    def look(offset: int) -> Slice:
        while True:
            try:
                return log.locate(offset, 5000, max_offset=1500, read=read)
            except NotInMemory as fault:
                place = fault.file.path, fault.position
                assert place not in known
                known.add(place)
                missed.add(fault.file.path.rpartition(".")[2])

    assert len(log.segments) > 2
    for offset in (0, 57, 700, 1499):
        wanted = log.locate(offset, 5000, max_offset=1500)
        log._places.clear()
        known.clear()
        assert look(offset) == wanted
    assert missed == {"log", "index"}
