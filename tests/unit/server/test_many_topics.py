"""Many topics of one request: they share transactions, and each is made or refused alone."""

import asyncio
from uuid import UUID

import pytest
from headrace.base.errors import Code, Refusal
from headrace.base.image import PartitionState, TopicState
from headrace.core.controller import NewTopic
from headrace.meta.keys import TopicValue, encode_partition, encode_topic
from headrace.meta.store import Put
from headrace.server.controller import Controller
from headrace.server.metadata import Metadata
from headrace.sim.store import Loss, SimulatedStore

from tests.unit.server.test_controller import controller as controller
from tests.unit.server.test_controller import join
from tests.unit.server.test_controller import metadata as metadata
from tests.unit.server.test_controller import store as store

MANY = [NewTopic(name=f"t{number}", partition_count=3) for number in range(100)]


def made(outcomes: list[TopicState | Refusal]) -> set[str]:
    return {outcome.name for outcome in outcomes if isinstance(outcome, TopicState)}


async def test_a_hundred_topics_take_few_writes(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    before = metadata.image.revision
    outcomes = await controller.create_topics(MANY)
    assert [topic.name for topic in outcomes if isinstance(topic, TopicState)] == [
        topic.name for topic in MANY
    ]
    assert metadata.image.revision - before <= 10
    for topic in outcomes:
        assert isinstance(topic, TopicState)
        assert metadata.image.topics[topic.name] is topic
    assert not metadata.builder.orphans


async def test_topics_of_one_request_are_spread_like_those_of_many(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    second = await join(store, 2)
    try:
        await metadata.reached(second.image.revision)
        single = [NewTopic(name=f"s{number}", partition_count=1) for number in range(10)]
        outcomes = await controller.create_topics(single)
        leaders = [t.partitions[0].leader for t in outcomes if isinstance(t, TopicState)]
        assert sorted(leaders) == [1] * 5 + [2] * 5
    finally:
        await second.close()


async def test_names_of_one_request_do_not_collide(controller: Controller) -> None:
    wanted = [NewTopic(name=name) for name in ("a.b", "a_b", "c", "c", "a.c")]
    codes = [
        outcome.code if isinstance(outcome, Refusal) else Code.NONE
        for outcome in await controller.create_topics(wanted)
    ]
    taken, exists = Code.INVALID_TOPIC_EXCEPTION, Code.TOPIC_ALREADY_EXISTS
    assert codes == [Code.NONE, taken, Code.NONE, exists, Code.NONE]


async def test_one_that_is_taken_meanwhile_holds_up_no_other(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    store.faults.watches_held = True
    other = UUID(int=7)
    state = PartitionState(replicas=(1,), isr=(1,), leader=1)
    value = TopicValue(name="t3", topic_id=other, partition_count=1, settings={})
    await store.txn(
        [],
        [
            Put(metadata.keys.partition(other, 0), encode_partition(state)),
            Put(metadata.keys.topic("t3"), encode_topic(value)),
        ],
    )
    creating = asyncio.ensure_future(controller.create_topics(MANY[:10]))
    await asyncio.sleep(0)
    store.faults.watches_held = False
    store.wake()
    outcomes = await creating
    assert made(outcomes) == {topic.name for topic in MANY[:10]} - {"t3"}
    refused = outcomes[3]
    assert isinstance(refused, Refusal) and refused.code is Code.TOPIC_ALREADY_EXISTS
    assert metadata.image.topics["t3"].topic_id == other
    assert not metadata.builder.orphans


@pytest.mark.parametrize("loss", list(Loss))
async def test_a_lost_answer_makes_each_once(
    store: SimulatedStore, metadata: Metadata, controller: Controller, loss: Loss
) -> None:
    store.faults.losses.append(loss)
    outcomes = await controller.create_topics(MANY[:20])
    assert made(outcomes) == {topic.name for topic in MANY[:20]}
    entries = (await store.snapshot(metadata.keys.prefix + "partitions/")).entries
    assert len(entries) == 60
    assert not metadata.builder.orphans


async def test_a_store_that_is_away_is_asked_once_for_all(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    store.faults.losses.extend([Loss.BEFORE] * 8)
    outcomes = await controller.create_topics(MANY)
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)}
    assert codes == {Code.REQUEST_TIMED_OUT} and not made(outcomes)
    assert len(made(await controller.create_topics(MANY))) == 100
