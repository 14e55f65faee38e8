"""The room kept back: a full disk is known in one place, and writing resumes by itself."""

import asyncio
import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from headrace.base.errors import Code
from headrace.meta.embedded import EmbeddedStore
from headrace.server.disk_reserve import RESERVE_BYTES, DiskReserve

from tests.unit.server.admin_rig import running

LONG_MS = 3_600_000


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def until_room(reserve: DiskReserve) -> None:
    async with asyncio.timeout(10):
        while reserve.full:  # noqa: ASYNC110 - a timer of its own looks; nobody is told
            await asyncio.sleep(0.001)


async def test_the_room_is_on_the_disk_and_is_given_back(tmp_path: Path) -> None:
    reserve = DiskReserve(str(tmp_path), LONG_MS)
    assert reserve.keep()
    kept = os.stat(tmp_path / "reserve")
    assert kept.st_size == RESERVE_BYTES
    assert kept.st_blocks * 512 >= RESERVE_BYTES, "a sparse file would keep nothing"
    reserve.no_room()
    assert reserve.full
    assert not (tmp_path / "reserve").exists()
    reserve.close()


async def test_writing_resumes_and_the_room_is_kept_again(tmp_path: Path) -> None:
    reserve = DiskReserve(str(tmp_path), 1)
    reserve.keep()
    reserve.no_room()
    await until_room(reserve)
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES
    reserve.no_room()
    assert reserve.full, "the next time is as the first"
    await until_room(reserve)


@pytest.mark.parametrize("what", ["statvfs says so", "another took it first"])
async def test_it_stays_full_until_there_is_room_for_more_than_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    looked = 0

    def count(_: str) -> SimpleNamespace:
        nonlocal looked
        looked += 1
        free = 2 * RESERVE_BYTES - (1 if what == "statvfs says so" else 0)
        return SimpleNamespace(f_bavail=free, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", count)
    if what == "another took it first":
        monkeypatch.setattr(os, "posix_fallocate", no_room)
    reserve = DiskReserve(str(tmp_path), 1)
    reserve.no_room()
    async with asyncio.timeout(10):
        while looked < 3:  # noqa: ASYNC110 - a timer of its own looks
            await asyncio.sleep(0.001)
    assert reserve.full
    assert not (tmp_path / "reserve").exists(), "half a reserve is given up again"
    monkeypatch.undo()
    await until_room(reserve)


async def test_no_room_from_the_start_is_said_and_another_fault_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = DiskReserve(str(tmp_path), LONG_MS)
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    assert not reserve.keep()
    assert not (tmp_path / "reserve").exists()
    reserve = DiskReserve(str(tmp_path / "absent"), LONG_MS)
    with pytest.raises(FileNotFoundError):
        reserve.keep()


async def test_one_line_says_that_it_is_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reserve = DiskReserve(str(tmp_path), LONG_MS)
    for _ in range(3):
        reserve.no_room()
    said = capsys.readouterr().out
    assert said.count("the disk is full") == 1
    assert str(tmp_path) in said
    reserve.close()


async def test_a_closed_reserve_looks_no_more(tmp_path: Path) -> None:
    reserve = DiskReserve(str(tmp_path), 1)
    reserve.no_room()
    reserve.close()
    assert reserve._timer is not None and reserve._timer.cancelled()


async def test_the_metadata_file_without_room_gives_the_reserve_up(tmp_path: Path) -> None:
    async with running(tmp_path, disk_full_retry_ms=str(LONG_MS)) as rig:
        reserve, store = rig.broker.reserve, rig.broker.controller._store
        assert isinstance(store, EmbeddedStore)
        await rig.create("t")
        assert (tmp_path / "reserve").exists()
        await store._run(lambda: store._db.execute("PRAGMA max_page_count = 1"))
        answer = await rig.create("large", 200)
        assert answer["error_code"] == Code.REQUEST_TIMED_OUT
        assert reserve.full, "partitions refuse writes as well"
        assert not (tmp_path / "reserve").exists()
        partition = rig.broker.partitions.get("t", 0)
        assert partition is not None
        refusal = partition.append(memoryview(b""), 0, 0, -1, 0)
        assert refusal.code == Code.KAFKA_STORAGE_ERROR
        await store._run(lambda: store._db.execute("PRAGMA max_page_count = 100000"))
        reserve._look()
        assert not reserve.full
        assert (await rig.create("large", 200))["error_code"] == Code.NONE
