"""aiokafka: an asyncio client written apart from librdkafka and Java."""

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

DEADLINE_S = 40.0


async def until(done: Callable[[], bool]) -> None:
    """Look every 50 ms until it is done; aiokafka has nothing to wait for. Fails after 40 s."""
    async with asyncio.timeout(DEADLINE_S):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec(bootstrap: str, name: str, codec: str | None) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type=codec, linger_ms=10, enable_idempotence=True
    )
    await producer.start()
    values = [b"%d " % i + b"v" * (i % 100) for i in range(500)]
    try:
        sent = [await producer.send(name, value, partition=0) for value in values]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        name, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            came = [(await consumer.getone()).value for _ in values]
    finally:
        await consumer.stop()
    assert came == values


async def test_a_group_of_two(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 4, 1)])
    first, second = (
        AIOKafkaConsumer(
            name, bootstrap_servers=bootstrap, group_id=name, heartbeat_interval_ms=200
        )
        for _ in range(2)
    )
    await first.start()
    try:
        assert len(first.assignment()) == 4
        await second.start()
        await until(lambda: len(first.assignment()) == len(second.assignment()) == 2)
        assert not first.assignment() & second.assignment()
        await second.stop()
        await until(lambda: len(first.assignment()) == 4)
    finally:
        await first.stop()
        await admin.close()
