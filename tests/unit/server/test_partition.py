"""A partition over a log that a killed process left."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
from headrace.base.image import PartitionState
from headrace.core.producers import Producers
from headrace.server.flusher import Flusher
from headrace.server.housekeeping import Housekeeping
from headrace.server.partition import Partition
from headrace.server.traffic import TopicTraffic
from headrace.storage.disk import DiskFault
from headrace.storage.os_disk import OsDisk
from headrace.wire.records import NewRecord, build_batch

from tests.coordinators import MemoryRoom
from tests.logs import append, flush, open_log

FOLLOWED = PartitionState(replicas=(1,), isr=(1,), leader=1, leader_epoch=1)


@pytest.fixture
async def flusher() -> Iterator[Flusher]:
    made = Flusher(
        asyncio.get_running_loop(),
        recovery_bytes_max=1 << 30,
        on_disk_fault=faults.append,
        on_checkpoint=lambda: None,
    )
    faults.clear()
    yield made
    made.close()


faults: list[str] = []


def killed(tmp_path: Path, flusher: Flusher, **settings: object) -> Partition:
    """Two batches are on the device; the third only the page cache has."""
    path = str(tmp_path / "t-0")
    log = open_log(OsDisk(), path, **settings)
    append(log)
    append(log)
    flush(log)
    append(log)
    again = open_log(OsDisk(), path, recovery_point=log.recovery_point, **settings)
    assert (again.durable_offset, again.log_end_offset) == (2, 3)
    return held(again, flusher)


def held(log: object, flusher: Flusher) -> Partition:
    partition = Partition(
        topic="t",
        topic_id=UUID(int=1),
        index=0,
        log=log,  # type: ignore[arg-type]
        producers=Producers(),
        broker_id=1,
        flusher=flusher,
        room=MemoryRoom(),
        traffic=TopicTraffic(),
    )
    partition.assign(FOLLOWED, 1)
    return partition


async def committed(partition: Partition, end_offset: int) -> None:
    """Wait until all below it is, which must not be so yet."""
    done = asyncio.Event()
    assert not partition.when_committed(end_offset, done.set)
    async with asyncio.timeout(10):
        await done.wait()


async def test_a_recovered_tail_is_synced_before_it_counts(
    tmp_path: Path, flusher: Flusher
) -> None:
    partition = killed(tmp_path, flusher, durability="ack")
    assert partition.high_watermark == 2, "a power cut may still take the third batch"
    await committed(partition, 3)
    assert (partition.log.durable_offset, partition.high_watermark) == (3, 3)


async def test_a_recovered_tail_is_synced_at_once_whatever_the_interval(
    tmp_path: Path, flusher: Flusher
) -> None:
    partition = killed(tmp_path, flusher, durability="interval", durability_interval_ms=3_600_000)
    assert partition.high_watermark == 3
    assert partition.log.durable_offset == 2
    async with asyncio.timeout(10):
        while partition.log.durable_offset < 3:  # noqa: ASYNC110 - nothing tells of a sync
            await asyncio.sleep(0)


async def test_a_disk_that_fails_as_a_flush_begins_fails_the_partition(
    tmp_path: Path, flusher: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = held(open_log(OsDisk(), str(tmp_path / "bad-0"), durability="ack"), flusher)
    good = held(open_log(OsDisk(), str(tmp_path / "good-0"), durability="ack"), flusher)

    def fault(_: object, *, checkpoint: bool) -> None:
        raise DiskFault("the device is gone")

    monkeypatch.setattr(type(bad.log), "begin_flush", fault)
    flusher.soon(bad)
    flusher._start()
    monkeypatch.undo()
    assert bad.failure is not None and "the device is gone" in bad.failure
    assert faults == ["t-0: the device is gone"]
    good.append_as_leader(build_batch([NewRecord(b"k", b"v", 1)]), 1)
    await committed(good, 1)


async def test_a_waiter_that_left_is_not_called(tmp_path: Path, flusher: Flusher) -> None:
    partition = held(open_log(OsDisk(), str(tmp_path / "t-0")), flusher)
    called: list[str] = []
    first, second = (lambda: called.append("first")), (lambda: called.append("second"))
    partition.when_readable(first)
    partition.when_readable(second)
    partition.no_longer(first)
    partition.no_longer(first)
    partition.append_as_leader(build_batch([NewRecord(b"k", b"v", 1)]), 1)
    assert called == ["second"]


async def test_retired_files_are_removed_off_the_loop(
    tmp_path: Path, flusher: Flusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = OsDisk()
    log = open_log(disk, str(tmp_path / "t-0"), file_delete_delay_ms=0)
    partition = held(log, flusher)
    threads: list[int] = []
    removed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def remove(path: str) -> None:
        threads.append(threading.get_ident())
        loop.call_soon_threadsafe(removed.set)
        raise DiskFault(f"cannot remove {path}")

    monkeypatch.setattr(log, "disk", SimpleNamespace(remove=remove))
    housekeeping = Housekeeping(None, flusher, None, None)  # type: ignore[arg-type]
    housekeeping.remove_later(partition, ["x.deleted"])
    async with asyncio.timeout(10):
        await removed.wait()
        while partition.failure is None:  # noqa: ASYNC110 - the future's callback comes next
            await asyncio.sleep(0)
    assert threads != [threading.get_ident()]
    assert "cannot remove x.deleted" in partition.failure


async def test_without_durability_the_tail_counts_at_once(tmp_path: Path, flusher: Flusher) -> None:
    assert killed(tmp_path, flusher, durability="never").high_watermark == 3


async def test_from_never_to_interval_syncs_what_is_there(tmp_path: Path, flusher: Flusher) -> None:
    partition = killed(tmp_path, flusher, durability="never")
    assert partition.log.durable_offset == 2
    partition.configure(
        replace(partition.log.settings, durability="interval", durability_interval_ms=1)
    )
    async with asyncio.timeout(10):
        while partition.log.durable_offset < 3:  # noqa: ASYNC110 - nothing tells of a sync
            await asyncio.sleep(0)
