"""What a broker does between reading the metadata and being ready."""

from pathlib import Path
from uuid import UUID

from headrace.base.image import PartitionState
from headrace.meta.keys import TopicValue, encode_partition, encode_topic
from headrace.meta.store import Done, Put
from headrace.server.broker import Broker

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
