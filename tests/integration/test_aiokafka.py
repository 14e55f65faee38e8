"""aiokafka: every codec both ways, groups that rebalance, offsets, a refused transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import TopicAlreadyExistsError, TransactionalIdAuthorizationFailed

from e2e.kafka.headrace import Headrace
from tests.integration.clients import (
    CODEC_NAMES,
    DEADLINE_S,
    codecs_on_disk,
    create_topic,
    pairs,
    produce,
    read_to_end,
)
from tests.integration.conftest import PARTITIONS

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}


async def until(look: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not look():  # noqa: ASYNC110 what is looked at is the client's, it has no event
            await asyncio.sleep(0.02)
    assert look(), what


@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "plain"])
@pytest.mark.parametrize("codec", CODEC_NAMES)
async def test_writes_with_every_codec(
    broker: Headrace, topic: str, codec: str, idempotent: bool
) -> None:
    await asyncio.to_thread(create_topic, broker, topic)
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap,
        compression_type=None if codec == "none" else codec,
        enable_idempotence=idempotent,
        linger_ms=5,
    ) as producer:
        sent = [await producer.send(topic, key=key, value=value) for key, value in pairs(codec)]
        told = await asyncio.gather(*sent)
    assert [metadata.offset for metadata in told] == list(range(len(told)))
    assert await asyncio.to_thread(read_to_end, broker, topic) == pairs(codec)
    assert codecs_on_disk(broker, topic) == {codec}


@pytest.mark.parametrize("codec", CODEC_NAMES)
async def test_reads_with_every_codec(broker: Headrace, topic: str, codec: str) -> None:
    await asyncio.to_thread(create_topic, broker, topic)
    await asyncio.to_thread(produce, broker, topic, pairs(codec), codec=codec)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, check_crcs=True)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(DEADLINE_S):
            found = [await consumer.getone() for _ in pairs(codec)]
        assert [(r.key, r.value) for r in found] == pairs(codec)
        assert await consumer.end_offsets([partition]) == {partition: len(found)}
        at = await consumer.offsets_for_times({partition: found[7].timestamp})
        assert at[partition].offset <= 7
    finally:
        await consumer.stop()


class Member(ConsumerRebalanceListener):
    """A consumer with its reading task; `assigned` is what it has now."""

    def __init__(self, broker: Headrace, group: str, assignor: type) -> None:
        self.values: list[bytes | None] = []
        self.assigned: set[int] = set()
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[assignor],
            heartbeat_interval_ms=100,
            session_timeout_ms=6000,
        )

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self.assigned = set()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        self.assigned = {p.partition for p in assigned}

    async def read(self) -> None:
        async for record in self.consumer:
            self.values.append(record.value)


@asynccontextmanager
async def joined(broker: Headrace, group: str, topic: str, assignor: type) -> AsyncIterator[Member]:
    member = Member(broker, group, assignor)
    member.consumer.subscribe([topic], listener=member)
    await member.consumer.start()
    reading = asyncio.create_task(member.read())
    try:
        yield member
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await member.consumer.stop()


def shares(*group: Member) -> bool:
    everything = sorted(p for member in group for p in member.assigned)
    return everything == list(range(PARTITIONS)) and all(member.assigned for member in group)


@pytest.mark.parametrize("assignor", ASSIGNORS)
async def test_a_group_rebalances_as_members_come_and_go(
    broker: Headrace, topic: str, group: str, assignor: str
) -> None:
    await asyncio.to_thread(create_topic, broker, topic, PARTITIONS)
    strategy = ASSIGNORS[assignor]
    wanted = {value for p in range(PARTITIONS) for _, value in pairs(f"p{p}", 40)}
    async with joined(broker, group, topic, strategy) as first:
        await until(lambda: shares(first), "the first has all")
        async with joined(broker, group, topic, strategy) as second:
            await until(lambda: shares(first, second), "two share")
            for p in range(PARTITIONS):
                await asyncio.to_thread(produce, broker, topic, pairs(f"p{p}", 40), partition=p)
            await until(lambda: {*first.values, *second.values} == wanted, "all of it was read")
        await until(lambda: shares(first), "the one that stays takes over")
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    assert {p.partition: at.offset for p, at in committed.items()} == dict.fromkeys(
        range(PARTITIONS), 40
    )


async def test_admin_calls(broker: Headrace, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 2, 1)])
        again = await admin.create_topics([NewTopic(topic, 2, 1)])
        assert again.topic_errors[0][:2] == (topic, TopicAlreadyExistsError.errno)
        await admin.create_partitions({topic: NewPartitions(3)})
        (described,) = await admin.describe_topics([topic])
        assert len(described["partitions"]) == 3
        await asyncio.to_thread(produce, broker, topic, pairs("none", 30))
        await admin.delete_topics([topic])
        assert topic not in await admin.list_topics()
    finally:
        await admin.close()


async def test_a_topic_is_made_on_first_use_with_num_partitions(
    broker: Headrace, topic: str
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await producer.send_and_wait(topic, b"first", partition=PARTITIONS - 1)
        assert await producer.partitions_for(topic) == set(range(PARTITIONS))


async def test_a_transactional_producer_is_refused_for_good(broker: Headrace, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(TransactionalIdAuthorizationFailed):
            await producer.start()
        await producer.stop()
