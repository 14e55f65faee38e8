"""A producer keeps order and writes nothing twice, whatever the broker does to it."""

import asyncio
import random
import struct

import pytest
from headrace.base.errors import Code
from headrace.client.cluster import Cluster
from headrace.client.errors import BrokerRefused, ClientError, RecordsRefused
from headrace.client.producer import Producer
from headrace.client.settings import ProducerSettings
from headrace.wire.records import Header

from tests.scripted_broker import TOPIC, ScriptedBroker

LINES = [b"%03d" % n for n in range(300)]
SMALL = ProducerSettings(batch_bytes=200, linger_ms=0)
"""A few records a batch, so that five are in flight."""


async def produce(broker: ScriptedBroker, settings: ProducerSettings) -> int:
    async with Cluster([broker.address]) as cluster, Producer(cluster, settings) as producer:
        for line in LINES:
            await producer.send(TOPIC, line)
        await producer.flush()
        return producer.records_acknowledged


async def test_what_is_sent_arrives_in_order() -> None:
    async with ScriptedBroker() as broker:
        assert await produce(broker, SMALL) == len(LINES)
    assert broker.log == LINES
    assert broker.producers_made == 1


async def test_runs_of_values_arrive_in_order_among_records() -> None:
    async with ScriptedBroker() as broker:
        async with Cluster([broker.address]) as cluster, Producer(cluster) as producer:
            await producer.send_values(TOPIC, LINES[:100])
            await producer.send(TOPIC, LINES[100])
            await producer.send_values(TOPIC, LINES[101:])
    assert broker.log == LINES


@pytest.mark.parametrize("trouble", [Code.NOT_LEADER_OR_FOLLOWER, "drop", "lose"])
@pytest.mark.parametrize("at", [0, 1, 3, 7])
async def test_one_failure_among_five_in_flight_reorders_nothing(
    trouble: Code | str, at: int
) -> None:
    async with ScriptedBroker(lambda n: trouble if n == at else Code.NONE) as broker:
        assert await produce(broker, SMALL) == len(LINES)
    assert broker.log == LINES
    assert broker.producers_made == 1


async def test_many_failures_reorder_nothing() -> None:
    chance = random.Random(7)
    kinds = [Code.NOT_LEADER_OR_FOLLOWER, Code.REQUEST_TIMED_OUT, "drop", "lose"]
    troubles = {n: chance.choice(kinds) for n in range(60) if chance.random() < 0.15}
    assert len(troubles) > 5
    async with ScriptedBroker(lambda n: troubles.get(n, Code.NONE)) as broker:
        assert await produce(broker, SMALL) == len(LINES)
    assert broker.log == LINES


async def test_a_silent_broker_is_asked_again() -> None:
    settings = ProducerSettings(batch_bytes=200, linger_ms=0, request_timeout_ms=100)
    async with ScriptedBroker(lambda n: None if n == 1 else Code.NONE) as broker:
        assert await produce(broker, settings) == len(LINES)
    assert broker.log == LINES


@pytest.mark.parametrize("acks", [0, 1])
async def test_without_idempotence_order_is_kept_by_one_in_flight(acks: int) -> None:
    settings = ProducerSettings(acks=acks, batch_bytes=200, linger_ms=0)
    refused = {0, 2, 3} if acks else set()
    script = lambda n: Code.NOT_LEADER_OR_FOLLOWER if n in refused else Code.NONE  # noqa: E731
    async with ScriptedBroker(script) as broker:
        assert await produce(broker, settings) == len(LINES)
        await broker.holds(len(LINES))  # with acks=0 nobody else says when a batch arrives
    assert broker.log == LINES
    assert {producer_id for producer_id, _, _ in broker.requests} == {-1}


async def test_a_refused_batch_fails_what_waits_behind_it_and_then_the_lane_goes_on() -> None:
    async with ScriptedBroker(lambda n: Code.INVALID_RECORD if n == 0 else Code.NONE) as broker:
        async with Cluster([broker.address]) as cluster, Producer(cluster, SMALL) as producer:
            bad = await producer.send(TOPIC, b"bad")
            with pytest.raises(BrokerRefused, match="INVALID_RECORD") as refused:
                await producer.flush()
            assert refused.value.code is Code.INVALID_RECORD
            with pytest.raises(BrokerRefused):
                await bad.offset()
            good = await producer.send(TOPIC, b"good")
            assert await good.offset() == 0
    assert broker.log == [b"good"]
    assert broker.producers_made == 2  # only a new producer may leave out a sequence


async def test_a_refused_batch_tells_which_records_it_had() -> None:
    three_a_batch = ProducerSettings(batch_bytes=130, linger_ms=60_000)
    async with ScriptedBroker(lambda n: Code.MESSAGE_TOO_LARGE if n == 1 else Code.NONE) as broker:
        async with Cluster([broker.address]) as cluster, Producer(cluster, three_a_batch) as sender:
            for line in LINES[:8]:
                await sender.send(TOPIC, line)
            with pytest.raises(RecordsRefused) as refused:
                await sender.flush()
            assert (refused.value.first, refused.value.count) == (3, 3)
            assert sender.records_acknowledged == 3


async def test_a_crash_of_the_background_task_is_raised_and_not_lost() -> None:
    async with ScriptedBroker() as broker, Cluster([broker.address]) as cluster:
        with pytest.raises(struct.error):
            async with Producer(cluster, SMALL) as producer:
                await producer.send(TOPIC, b"x", timestamp_ms=2**63)
        with pytest.raises(struct.error):
            await producer.send(TOPIC, b"later")


async def test_a_broker_that_never_answers_well_fails_after_the_delivery_timeout() -> None:
    settings = ProducerSettings(delivery_timeout_ms=100)
    async with ScriptedBroker(lambda _: Code.NOT_ENOUGH_REPLICAS) as broker:
        with pytest.raises(BrokerRefused, match="NOT_ENOUGH_REPLICAS"):
            await produce(broker, settings)


async def test_a_producer_does_not_run_ahead_of_its_broker() -> None:
    settings = ProducerSettings(batch_bytes=200, linger_ms=0, buffer_bytes=1000)
    async with ScriptedBroker(lambda _: None) as broker:
        async with Cluster([broker.address]) as cluster:
            producer = Producer(cluster, settings)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), producer:
                    for sent in range(10_000):
                        await producer.send(TOPIC, b"x" * 100)
            assert sent * 100 < 2 * settings.buffer_bytes


async def test_closing_with_an_error_fails_what_waits() -> None:
    async with ScriptedBroker(lambda _: None) as broker:
        async with Cluster([broker.address]) as cluster:
            with pytest.raises(ZeroDivisionError):
                async with Producer(cluster, SMALL) as producer:
                    delivery = await producer.send(TOPIC, b"x")
                    raise ZeroDivisionError
            with pytest.raises(ClientError, match="closed"):
                await delivery.offset()


async def test_keyed_and_partitioned_records_keep_their_headers() -> None:
    async with ScriptedBroker() as broker:
        async with Cluster([broker.address]) as cluster, Producer(cluster) as producer:
            with pytest.raises(BrokerRefused, match="the topic has 1"):
                await producer.send(TOPIC, b"v", partition=1)
            delivery = await producer.send(TOPIC, b"v", key=b"k", headers=[Header("h", b"1")])
            assert await delivery.offset() == 0
    assert broker.log == [b"v"]
