"""What a broker does between reading the metadata and being ready, and as it stops."""

import asyncio
import threading
from pathlib import Path
from uuid import UUID

import pytest
from headrace.base.image import PartitionState
from headrace.meta.keys import TopicValue, encode_partition, encode_topic
from headrace.meta.store import Done, Put
from headrace.server.broker import Broker
from headrace.storage.os_disk import OsFile
from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import running
from tests.unit.server.produce_peer import connected

TOPIC = UUID(int=7)


class Slow(Broker):
    """Another broker, the controller, makes a topic while this one recovers its logs."""

    async def _open_partitions(self) -> None:
        await super()._open_partitions()
        keys = self.metadata.keys
        state = PartitionState(replicas=(1,), isr=(1,), leader=1)
        value = TopicValue(name="late", topic_id=TOPIC, partition_count=1, settings={})
        made = await self.metadata._store.txn(
            [],
            [
                Put(keys.partition(TOPIC, 0), encode_partition(state)),
                Put(keys.topic("late"), encode_topic(value)),
            ],
        )
        assert isinstance(made, Done)
        await self.metadata.reached(made.revision)


async def test_a_partition_given_to_a_broker_that_is_starting_is_opened(tmp_path: Path) -> None:
    """Its last registration may stand all the time, so the controller counts on it."""
    broker = Slow(
        {"log.dirs": str(tmp_path), "listeners": "PLAINTEXT://127.0.0.1:0", "http.port": "-1"}
    )
    await broker.start()
    try:
        partition = broker.partitions.get("late", 0)
        assert partition is not None and partition.topic_id == TOPIC
    finally:
        await broker.close()


async def test_a_stop_answers_what_was_appended_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, may_sync = OsFile.sync, threading.Event()

    def slow_sync(self: OsFile) -> None:
        assert may_sync.wait(10)
        sync(self)

    async with running(tmp_path / "d", durability="ack") as rig:
        peer = await connected(rig)
        monkeypatch.setattr(OsFile, "sync", slow_sync)
        peer.produce(1, [("plain", build_batch([NewRecord(b"k", b"v", 1)]))])
        while not rig.broker.listeners[0].owes_answers():  # noqa: ASYNC110
            await asyncio.sleep(0)
        stopping = asyncio.create_task(rig.broker.close())
        await asyncio.sleep(0)
        may_sync.set()
        assert await peer.produced(1) == [("plain", 0, 0)]
        await stopping
        peer.writer.close()
