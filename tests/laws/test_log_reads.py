"""Law: whatever was appended, read and looked up, the log agrees with a plain list."""

from itertools import count
from pathlib import Path

import pytest
from headrace.storage.log import Log, OffsetOutOfRange
from headrace.storage.os_disk import OsDisk
from headrace.wire.batch import read_batch_header
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs import NOW_MS, append, open_log, read_all, split

_folder = count()

BATCHES = st.lists(
    st.fixed_dictionaries(
        {
            "records": st.integers(1, 4),
            "size": st.sampled_from([0, 20, 20, 300]),
            "timestamp": st.integers(NOW_MS - 50, NOW_MS + 50),
            "epoch": st.just(0),
            "gap": st.sampled_from([0, 0, 0, 3]),
        }
    ),
    max_size=30,
)
SMALL = {"segment_bytes": 1500, "index_interval_bytes": 150, "segment_index_bytes": 96}


def filled(path: Path, batches: list[dict[str, int]]) -> tuple[Log, list[bytes]]:
    log = open_log(OsDisk(), str(path / str(next(_folder))), **SMALL)
    return log, [append(log, **batch) for batch in batches]


def end_of(batches: list[bytes], start: int = 0) -> int:
    return read_batch_header(batches[-1], 0).next_offset if batches else start


def expect(batches: list[bytes], offset: int, max_offset: int) -> list[bytes]:
    """What may be read from `offset` on: whole batches below `max_offset`."""
    headers = [(read_batch_header(batch, 0), batch) for batch in batches]
    return [b for h, b in headers if h.last_offset >= offset and h.next_offset <= max_offset]


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.data())
def test_locate_agrees_with_a_list(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[str, int]], data: st.DataObject
) -> None:
    log, written = filled(tmp_path_factory.getbasetemp(), batches)
    end = log.log_end_offset
    assert end == end_of(written)
    for _ in range(8):
        offset = data.draw(st.integers(0, end), label="offset")
        max_offset = data.draw(st.integers(offset, end), label="max_offset")
        max_bytes = data.draw(st.sampled_from([1, 100, 400, 2000]), label="max_bytes")
        for _ in range(3):  # the second and third read begin where the last one ended
            piece = log.locate(offset, max_bytes, max_offset=max_offset)
            found = split(bytes(piece.file.pread(piece.count, piece.position)))
            wanted = expect(written, offset, max_offset)
            assert found == wanted[: len(found)], "not the batches that are due"
            assert bool(found) == bool(wanted), "nothing although there is something"
            if not found:
                break
            assert piece.count <= max_bytes or len(found) == 1
            offset = read_batch_header(found[-1], 0).next_offset
            if offset > max_offset:
                break
    log.close(clean=False)


@settings(max_examples=30, deadline=None)
@given(BATCHES, st.sampled_from([1, 300, 700, 5000]), st.booleans())
def test_a_sequential_reader_sees_every_batch_once(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[dict[str, int]],
    max_bytes: int,
    reopened: bool,
) -> None:
    log, written = filled(tmp_path_factory.getbasetemp(), batches)
    if reopened:
        log.close()
        log = open_log(OsDisk(), log.path, clean=True, **SMALL)
        assert log.log_end_offset == end_of(written)
    assert read_all(log, max_bytes=max_bytes) == written
    log.close(clean=False)


@settings(max_examples=40, deadline=None)
@given(BATCHES, st.lists(st.integers(NOW_MS - 60, NOW_MS + 60), max_size=6), st.booleans())
def test_look_up_by_time_agrees_with_a_list(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[dict[str, int]],
    wanted: list[int],
    reopened: bool,
) -> None:
    log, written = filled(tmp_path_factory.getbasetemp(), batches)
    if reopened:
        log.close()
        log = open_log(OsDisk(), log.path, clean=True, **SMALL)
    records = []
    for batch in written:
        header = read_batch_header(batch, 0)
        records += [
            (header.base_timestamp + at, header.base_offset + at)
            for at in range(header.record_count)
        ]
    for timestamp in wanted:
        due = next((r for r in records if r[0] >= timestamp), None)
        found = log.offset_for_timestamp(timestamp)
        assert (found and found[:2]) == due
    latest = log.max_timestamp_offset()
    greatest = max((timestamp for timestamp, _ in records), default=None)
    assert (latest and latest.timestamp) == greatest
    if latest is not None:
        assert (latest.timestamp, latest.offset) in records
    log.close(clean=False)


def test_offsets_outside_the_log_are_refused(tmp_path: Path) -> None:
    log, _ = filled(tmp_path, [{"records": 3}])
    log.advance_start_offset(2)
    for offset in (-1, 0, 1, 4):
        with pytest.raises(OffsetOutOfRange) as refused:
            log.locate(offset, 100, max_offset=3)
        assert (refused.value.log_start_offset, refused.value.log_end_offset) == (2, 3)
    assert log.locate(2, 100, max_offset=3).count
    assert log.locate(3, 100, max_offset=3).count == 0
    log.close(clean=False)
