"""Law: whatever a crash or a truncation cuts off, what is left is a log that never had more.

Not only its batches: after a clean close logs, offset indexes and epochs are byte for byte what a
log writes that was given the surviving batches and nothing else. The time index has an entry more
for each checkpoint, so it is looked up in instead.
"""

import os
from itertools import count
from pathlib import Path

import pytest
from headrace.storage.log import Log
from headrace.storage.os_disk import OsDisk
from headrace.wire.batch import read_batch_header
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs import NOW_MS, Diary, append, flush, open_log, read_all

_folder = count()
SMALL = {"segment_bytes": 1500, "index_interval_bytes": 150, "segment_index_bytes": 96}

BATCHES = st.lists(
    st.fixed_dictionaries(
        {
            "records": st.integers(1, 3),
            "size": st.sampled_from([0, 20, 20, 300]),
            "timestamp": st.integers(NOW_MS - 50, NOW_MS + 50),
            "producer_id": st.sampled_from([-1, 7, 7]),
            "epoch_grows": st.sampled_from([0, 0, 0, 1]),
        }
    ),
    min_size=1,
    max_size=30,
)


def fresh(root: Path) -> str:
    return str(root / f"log-{next(_folder)}")


def fill(
    path: str, batches: list[dict[str, int]], checkpoint_after: int = -1
) -> tuple[Log, list[bytes]]:
    log, epoch, written = open_log(OsDisk(), path, ledger=Diary(), **SMALL), 0, []
    for number, batch in enumerate(batches):
        fields = dict(batch)
        epoch += fields.pop("epoch_grows")
        written.append(append(log, epoch=epoch, **fields))
        if number == checkpoint_after:
            flush(log)
    return log, written


def files(path: str) -> dict[str, bytes]:
    """What must not depend on history."""
    kept = (".log", ".index", "-checkpoint")
    return {n: (Path(path) / n).read_bytes() for n in os.listdir(path) if n.endswith(kept)}


def check_same_as_if_never_more(
    root: Path, log: Log, batches: list[dict[str, int]], surviving: int
) -> None:
    """`log` is one that was given the first `surviving` batches alone."""
    model, written = fill(fresh(root), batches[:surviving])
    assert read_all(log) == written
    assert log.log_end_offset == model.log_end_offset
    assert isinstance(log.ledger, Diary)
    assert isinstance(model.ledger, Diary)
    assert log.ledger.last_offset == model.ledger.last_offset
    assert log.epochs.entries == model.epochs.entries
    append(log, epoch=log.epochs.latest if log.epochs.latest >= 0 else 0)
    append(model, epoch=model.epochs.latest if model.epochs.latest >= 0 else 0)
    for timestamp in range(NOW_MS - 52, NOW_MS + 54, 3):
        assert log.offset_for_timestamp(timestamp) == model.offset_for_timestamp(timestamp)
    assert log.max_timestamp_offset() == model.max_timestamp_offset()
    log.close()
    model.close()
    ours, theirs = files(log.path), files(model.path)
    if len(log.segments) == len(model.segments):  # an empty last segment may have been left
        assert ours == theirs


def cut_tail(path: str, keep_bytes: int, drop_later: bool) -> None:
    """Cut the log files, taken as one stream, after `keep_bytes`; later ones go or are empty."""
    for name in sorted(n for n in os.listdir(path) if n.endswith(".log")):
        file = Path(path) / name
        size = file.stat().st_size
        if keep_bytes >= size:
            keep_bytes -= size
            continue
        if keep_bytes == 0 and drop_later:
            file.unlink()
        else:
            os.truncate(file, keep_bytes)
        keep_bytes = 0


def spoil_indexes(path: str, spoilt: int) -> None:
    """What was not synced may be anything: entries of zeros behind, and a part of one."""
    for name in os.listdir(path):
        if name.endswith((".index", ".timeindex")):
            with (Path(path) / name).open("ab") as file:
                file.write(bytes(spoilt))


@settings(max_examples=120, deadline=None)
@given(BATCHES, st.data())
def test_recovery_after_any_cut_of_the_tail(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[str, int]], data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp()
    checkpoint_after = data.draw(st.integers(-1, len(batches) - 1), label="checkpoint after")
    log, written = fill(fresh(root), batches, checkpoint_after)
    path, recovery_point = log.path, log.recovery_point
    log.close(clean=False)
    durable = sum(len(batch) for batch in written[: checkpoint_after + 1])
    total = sum(map(len, written))
    assert total == sum(len(v) for n, v in files(path).items() if n.endswith(".log"))
    keep = data.draw(st.integers(durable, total), label="bytes kept")
    cut_tail(path, keep, data.draw(st.booleans(), label="later files gone"))
    spoil_indexes(path, data.draw(st.sampled_from([0, 24, 37]), label="spoilt"))
    surviving, end = 0, 0
    while surviving < len(written) and end + len(written[surviving]) <= keep:
        end += len(written[surviving])
        surviving += 1

    reopened = open_log(OsDisk(), path, ledger=Diary(), recovery_point=recovery_point, **SMALL)
    assert reopened.recovery_point == recovery_point
    check_same_as_if_never_more(root, reopened, batches, surviving)


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.data())
def test_recovery_cuts_at_the_first_damaged_batch(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[str, int]], data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp()
    log, written = fill(fresh(root), batches)
    path = log.path
    log.close(clean=False)
    victim = data.draw(st.integers(0, len(written) - 1), label="damaged batch")
    header = read_batch_header(written[victim], 0)
    at = data.draw(st.integers(16, len(written[victim]) - 1), label="byte")
    names = sorted(n for n in os.listdir(path) if n.endswith(".log"))
    holding = Path(path) / max(n for n in names if int(n[:20]) <= header.base_offset)
    content = bytearray(holding.read_bytes())
    content[content.index(written[victim]) + at] ^= 0xFF
    holding.write_bytes(content)

    reopened = open_log(OsDisk(), path, ledger=Diary(), **SMALL)
    assert reopened.recovered.cut_because
    check_same_as_if_never_more(root, reopened, batches, victim)


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.data())
def test_truncation_of_every_prefix(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[str, int]], data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp()
    log, written = fill(fresh(root), batches)
    if data.draw(st.booleans(), label="reopened first"):
        path = log.path
        log.close()
        log = open_log(OsDisk(), path, ledger=Diary(), clean=True, **SMALL)
    if data.draw(st.booleans(), label="read first"):
        read_all(log)
    offset = data.draw(st.integers(0, log.log_end_offset), label="offset")
    surviving = sum(read_batch_header(b, 0).next_offset <= offset for b in written)
    log.truncate_to(offset)
    check_same_batches(root, log, batches, surviving)


def check_same_batches(root: Path, log: Log, batches: list[dict[str, int]], surviving: int) -> None:
    """As above for reads and state. Files may differ: a close in between notes a timestamp."""
    model, written = fill(fresh(root), batches[:surviving])
    assert read_all(log) == written
    assert log.log_end_offset == model.log_end_offset
    assert isinstance(log.ledger, Diary)
    assert isinstance(model.ledger, Diary)
    assert log.ledger.last_offset == model.ledger.last_offset
    assert log.epochs.entries == model.epochs.entries
    assert log.size_bytes == model.size_bytes
    assert log.max_timestamp_offset() == model.max_timestamp_offset()
    more = append(log, epoch=9)
    assert read_all(log) == [*written, more]
    path, end = log.path, log.log_end_offset
    log.close(clean=False)
    again = open_log(OsDisk(), path, ledger=Diary(), **SMALL)
    assert again.log_end_offset == end
    assert read_all(again) == [*written, more]
    again.close(clean=False)
    model.close(clean=False)
