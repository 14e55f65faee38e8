"""What a broker does on its own, on a real broker in a folder."""

import asyncio
import threading
import time
from pathlib import Path

import pytest
from headrace.server.partition import Partition
from headrace.storage.checkpoint import read_offsets
from headrace.storage.disk import DiskFault, DiskFull
from headrace.storage.os_disk import OsDisk
from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import Rig, running


def held(rig: Rig, topic: str) -> Partition:
    partition = rig.broker.partitions.get(topic, 0)
    assert partition is not None
    return partition


def append(partition: Partition, producer_id: int = -1) -> None:
    epoch = 0 if producer_id >= 0 else -1
    batch = build_batch(
        [NewRecord(b"k", b"v", 1)],
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=epoch,
    )
    partition.append(memoryview(batch), 0, len(batch), -1, 1)


async def test_old_segments_go_and_their_files_follow(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t", retention_ms="1000", file_delete_delay_ms="0")
        partition = held(rig, "t")
        append(partition)
        partition.log.roll(1)
        append(partition)
        assert (tmp_path / "t-0" / f"{0:020}.log").exists()
        await rig.broker.housekeeping._retention()
        assert partition.log.log_start_offset >= 1
        async with asyncio.timeout(10):
            while any((tmp_path / "t-0").glob(f"{0:020}.log*")):  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # a thread removes them; nobody is told


async def test_one_folder_that_fails_does_not_end_the_round(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        seen: list[str] = []
        for topic in ("a", "b", "c"):
            await rig.create(topic)

        def work(partition: Partition) -> None:
            seen.append(partition.name)
            if partition.topic == "a":
                raise DiskFault("the device is gone")
            if partition.topic == "b":
                raise DiskFull("no room")

        for _ in range(2):
            await rig.broker.housekeeping._each(work)
        assert sorted(seen) == ["a-0", "b-0", "b-0", "c-0", "c-0"], "what failed is left alone"
        assert "the device is gone" in str(held(rig, "a").failure)
        assert held(rig, "b").failure is None
        assert rig.broker.reserve.full, "a full disk is everybody's"
        assert rig.broker.failed.done()


async def test_a_segment_that_somebody_removed_is_said(tmp_path: Path) -> None:
    """Not swallowed with the task that met it: retention would be over for every topic."""
    async with running(tmp_path) as rig:
        await rig.create("t")
        partition = held(rig, "t")
        append(partition)
        partition.log.roll(1)
        append(partition)
        partition.log.segments[0].let_go()
        (tmp_path / "t-0" / f"{0:020}.log").unlink()

        def work(partition: Partition) -> None:
            partition.log.segments[0].file()

        await rig.broker.housekeeping._each(work)
        assert "somebody else removed it" in str(partition.failure)


async def test_a_long_round_gives_the_loop_back(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t", 5)
        turns = [0]

        def turn() -> None:
            turns[0] += 1
            rig.broker.loop.call_soon(turn)

        turn()
        seen: list[int] = []

        def work(_: Partition) -> None:
            seen.append(turns[0])
            time.sleep(0.003)

        await rig.broker.housekeeping._each(work)
        assert len(set(seen)) == 5, "others had a turn after each slice of 2 ms"


async def test_a_checkpoint_writes_where_recovery_may_begin(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        partition = held(rig, "t")
        append(partition)
        partition.log.advance_start_offset(1)
        rig.broker.flusher.soon(partition, checkpoint=True)
        async with asyncio.timeout(10):
            while partition.log.recovery_point < 1:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await rig.broker.housekeeping.checkpoint()
        for name in ("recovery-point-offset-checkpoint", "log-start-offset-checkpoint"):
            assert read_offsets(OsDisk(), str(tmp_path / name)) == {("t", 0): 1}


async def test_many_that_want_a_checkpoint_soon_share_it(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        housekeeping = rig.broker.housekeeping
        housekeeping.checkpoint_soon()
        first = housekeeping._soon
        housekeeping.checkpoint_soon()
        assert housekeeping._soon is first
        housekeeping._checkpoint_now()
        housekeeping.checkpoint_soon()
        assert housekeeping._soon is not first, "the next wish has its own"


@pytest.mark.parametrize("full", [True, False])
async def test_a_checkpoint_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DiskFull("no room") if full else DiskFault("the device is gone")

    async with running(tmp_path) as rig:
        await rig.create("t")
        append(held(rig, "t"))
        with monkeypatch.context() as patch:
            patch.setattr(OsDisk, "write_atomically", refuse)
            await rig.broker.housekeeping.checkpoint()
        assert rig.broker.failed.done() is not full, "without room the old one still holds"


async def test_idle_producers_are_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path, producer_id_expiration_ms="1000") as rig:
        await rig.create("t")
        partition = held(rig, "t")
        append(partition, producer_id=7)  # by its timestamp it has been idle since 1970
        assert len(partition.producers) == 1
        await rig.broker.housekeeping._producers()
        assert len(partition.producers) == 0


async def test_closing_waits_for_a_checkpoint_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    write = OsDisk.write_atomically

    def slow(self: OsDisk, path: str, *args: object, **kwargs: object) -> None:
        began.set()
        assert go_on.wait(10)
        write(self, path, *args, **kwargs)  # type: ignore[arg-type]

    async with running(tmp_path) as rig:
        await rig.create("t")
        partition = held(rig, "t")
        append(partition)
        partition.log.advance_start_offset(1)
        monkeypatch.setattr(OsDisk, "write_atomically", slow)
        rig.broker.housekeeping._checkpoint_now()
        await asyncio.to_thread(began.wait, 10)
        closing = asyncio.create_task(rig.broker.housekeeping.close())
        await asyncio.sleep(0)
        assert not closing.done()
        go_on.set()
        async with asyncio.timeout(10):
            await closing
        assert read_offsets(OsDisk(), str(tmp_path / "log-start-offset-checkpoint")) == {
            ("t", 0): 1
        }
