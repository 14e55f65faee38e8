"""Group commit on real partitions over the simulated disk, whose syncs can be held or fail."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from headrace.base.image import PartitionState
from headrace.core.producers import Producers
from headrace.server import flusher
from headrace.server.flusher import Flusher
from headrace.server.partition import Partition
from headrace.server.traffic import TopicTraffic
from headrace.sim.disk import Operation, SimDisk
from headrace.storage.disk import NoDescriptor
from headrace.wire.records import NewRecord, build_batch

from tests.coordinators import MemoryRoom
from tests.logs import open_log

FOLLOWED = PartitionState(replicas=(1,), isr=(1,), leader=1, leader_epoch=1)
RECOVERY_BYTES_MAX = 500


class Rig:
    """A flusher, its disk, and what it told; `hold` stops the flush thread after a sync."""

    def __init__(self) -> None:
        self.disk = SimDisk()
        self.faults: list[str] = []
        self.checkpoints = 0
        self.syncs: list[str] = []
        self.held = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.disk.watch = self._watch
        self.flusher = Flusher(
            asyncio.get_running_loop(),
            recovery_bytes_max=RECOVERY_BYTES_MAX,
            on_disk_fault=self.faults.append,
            on_checkpoint=self._checkpoint,
        )

    def _checkpoint(self) -> None:
        self.checkpoints += 1

    def _watch(self, operation: Operation) -> None:
        if operation.kind == "sync" and operation.path.endswith(".log"):
            self.syncs.append(operation.path.split("/")[1])
            if threading.current_thread() is not threading.main_thread():
                self.held.set()
                assert self.go_on.wait(10)

    def partition(self, name: str, **settings: object) -> Partition:
        made = Partition(
            topic=name,
            topic_id=UUID(int=1),
            index=0,
            log=open_log(self.disk, f"/{name}", **settings),
            producers=Producers(),
            broker_id=1,
            flusher=self.flusher,
            room=MemoryRoom(),
            traffic=TopicTraffic(),
        )
        made.assign(FOLLOWED, 1)
        return made

    async def holding(self) -> None:
        """Wait until the flush thread stands behind a sync."""
        await asyncio.to_thread(self.held.wait, 10)
        assert self.held.is_set()


@pytest.fixture
async def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.go_on.set()
    made.flusher.close()


def append(partition: Partition, size: int = 1) -> None:
    partition.append_as_leader(build_batch([NewRecord(b"k", b"v" * size, 1)]), 1)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110 - the flusher tells partitions, not us
            await asyncio.sleep(0)


async def test_what_arrives_during_a_sync_shares_the_next_one(rig: Rig) -> None:
    one, two = (rig.partition(name, durability="ack") for name in ("one", "two"))
    rig.go_on.clear()
    append(one)
    await rig.holding()
    for _ in range(5):
        append(one)
        append(two)
    await asyncio.sleep(0)
    assert rig.syncs == ["one"], "one job at a time"
    assert one.high_watermark == two.high_watermark == 0, "nothing is acknowledged early"
    rig.go_on.set()
    await until(lambda: (one.high_watermark, two.high_watermark) == (6, 5))
    assert rig.syncs == ["one", "one", "two"], "ten batches, one more sync a log"
    assert rig.flusher.flushes == 3
    assert rig.flusher.flush_seconds > 0


async def test_the_job_in_flight_commits_only_what_it_began_with(rig: Rig) -> None:
    one = rig.partition("one", durability="ack")
    seen: list[int] = []
    one.when_readable(lambda: seen.append(one.high_watermark))
    rig.go_on.clear()
    append(one)
    await rig.holding()
    append(one)
    rig.go_on.set()
    await until(lambda: one.high_watermark == 2)
    assert seen == [1, 2]


async def test_a_failed_sync_is_final_and_the_others_of_its_job_are_not_hurt(rig: Rig) -> None:
    bad, good = (rig.partition(name, durability="ack") for name in ("bad", "good"))
    rig.disk.fail("sync", "/bad/")
    woken: list[str] = []
    append(bad)
    append(good)
    assert not bad.when_committed(1, lambda: woken.append("bad"))
    await until(lambda: good.high_watermark == 1)
    assert bad.high_watermark == 0
    assert bad.failure is not None and "offline" in bad.failure
    assert woken == ["bad"], "who waits is told, with the partition's failure"
    assert len(rig.faults) == 1 and rig.faults[0].startswith("bad-0: ")
    rig.syncs.clear()
    rig.flusher.soon(bad)
    append(good)
    await until(lambda: good.high_watermark == 2)
    assert rig.syncs == ["good"], "a failed log is never synced again"


async def test_unsynced_bytes_are_bounded_by_checkpoints(rig: Rig) -> None:
    one = rig.partition("one", durability="never")
    append(one)
    await asyncio.sleep(0)
    assert (one.high_watermark, rig.syncs, rig.checkpoints) == (1, [], 0)
    while one.unsynced_bytes < RECOVERY_BYTES_MAX:
        append(one)
    await until(lambda: rig.checkpoints == 1)
    assert one.log.recovery_point == one.log.log_end_offset
    assert one.unsynced_bytes == 0


async def test_an_interval_has_one_timer_however_many_batches(rig: Rig) -> None:
    one = rig.partition("one", durability="interval", durability_interval_ms=5)
    for _ in range(3):
        append(one)
    assert len(rig.flusher._timers) == 1
    assert rig.syncs == []
    await until(lambda: one.log.durable_offset == 3)
    assert rig.syncs == ["one"]
    append(one)
    await until(lambda: one.log.durable_offset == 4)


async def test_a_partition_that_goes_away_is_not_synced(rig: Rig) -> None:
    gone = rig.partition("gone", durability="interval", durability_interval_ms=1)
    stays = rig.partition("stays", durability="ack")
    append(gone)
    rig.flusher.soon(gone)
    rig.flusher.forget(gone)
    append(stays)
    await until(lambda: stays.high_watermark == 1)
    assert rig.syncs == ["stays"]
    assert not rig.flusher._timers


async def test_closing_waits_for_the_job_in_flight(rig: Rig) -> None:
    one = rig.partition("one", durability="ack")
    rig.go_on.clear()
    append(one)
    await rig.holding()
    closing = asyncio.create_task(asyncio.to_thread(rig.flusher.close))
    await asyncio.sleep(0)
    assert not closing.done()
    rig.go_on.set()
    await closing
    await until(lambda: one.high_watermark == 1)


async def test_a_name_that_no_descriptor_was_left_to_sync_is_synced_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher, "_AGAIN_S", 0.0)
    rig.disk.sync_dir("/")
    one = rig.partition("one", durability="ack")
    rig.disk.fail("sync_dir", "/one", fault=NoDescriptor)
    append(one)
    await until(lambda: one.high_watermark == 1)
    assert rig.faults == [] and one.failure is None
    cut = next(iter(rig.disk.cuts(random.Random(1), 1)))
    assert cut.open("/one/00000000000000000000.log").size == one.log.size_bytes
