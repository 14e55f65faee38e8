"""Who takes the controller's role, when, and what it does first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from headrace.base.image import Endpoint, PartitionState
from headrace.core.controller import NewTopic
from headrace.meta.keys import encode_partition
from headrace.meta.store import Delete, Put
from headrace.server.controller import Controller
from headrace.server.election import Election
from headrace.server.metadata import Metadata
from headrace.sim.store import Loss, SimulatedStore

SLOW = {"broker.session.timeout.ms": "600000", "broker.heartbeat.interval.ms": "300000"}
"""Leases end when a test says so."""


class Broker:
    """What of a broker takes part."""

    def __init__(self, store: SimulatedStore, node_id: int) -> None:
        self.metadata = Metadata(store, node_id=node_id, static=SLOW)
        self.controller = Controller(self.metadata, store)
        self.election = Election(self.metadata, store, self.controller)

    async def start(self) -> None:
        await self.metadata.start()
        self.election.start()
        here = Endpoint(listener="L", host="h", port=1)
        await self.metadata.register((here,), incarnation=uuid4())

    async def close(self) -> None:
        await self.election.close()
        await self.metadata.close()


@asynccontextmanager
async def brokers(store: SimulatedStore, *ids: int) -> AsyncIterator[list[Broker]]:
    made = [Broker(store, node_id) for node_id in ids]
    for broker in made:
        await broker.start()
    try:
        yield made
    finally:
        for broker in made:
            await broker.close()
        await store.close()


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_the_role_passes_on_when_its_owners_lease_ends() -> None:
    store = SimulatedStore()
    async with brokers(store, 1, 2, 3) as (first, second, third):
        assert first.metadata.image.controller_id == 1
        before = first.metadata.image.controller_epoch
        store.expire(first.metadata.lease)
        for broker in (first, second, third):
            await until(lambda b=broker: b.metadata.image.controller_epoch > before)
        assert len({b.metadata.image.controller_id for b in (first, second, third)}) == 1
        assert first.metadata.image.controller_id != -1


async def test_a_broker_whose_registration_is_gone_claims_nothing() -> None:
    """Its lease alone proves nothing: the guard is its registration."""
    store = SimulatedStore()
    async with brokers(store, 1, 2) as (first, second):
        keys = second.metadata.keys
        store.faults.watches_held = True  # It does not hear that it is gone.
        await store.txn([], [Delete(keys.broker(2))])
        store.expire(first.metadata.lease)
        await second.election._claim()
        assert await store.get(keys.controller) is None
        store.faults.watches_held = False
        store.wake()
        await until(lambda: second.metadata.image.controller_id != -1)


async def test_a_store_that_loses_the_answer_elects_once() -> None:
    store = SimulatedStore()
    async with brokers(store, 1, 2) as (first, second):
        before = second.metadata.image.controller_epoch
        store.faults.losses.extend([Loss.AFTER, Loss.BEFORE])
        store.expire(first.metadata.lease)
        await until(lambda: second.metadata.image.controller_epoch > before)
        entry = await store.get(second.metadata.keys.controller)
        assert entry is not None
        await until(lambda: set(second.metadata.image.brokers) == {1, 2})
        assert second.metadata.image.controller_epoch == entry.create_revision


async def test_a_stop_hands_the_role_on_before_the_lease_ends() -> None:
    store = SimulatedStore()
    async with brokers(store, 1, 2) as (first, second):
        await first.election.close()
        await until(lambda: second.metadata.image.controller_id == 2)
        assert 1 in second.metadata.image.brokers, "it is registered still"


async def test_a_single_broker_keeps_the_role_until_its_lease_ends() -> None:
    store = SimulatedStore()
    async with brokers(store, 1) as (only,):
        await only.election.close()
        assert await store.get(only.metadata.keys.controller) is not None


async def test_the_new_controller_sweeps_and_leaves_what_a_topic_grew_into() -> None:
    store = SimulatedStore()
    async with brokers(store, 1, 2) as (first, second):
        await first.controller.create_topic(NewTopic(name="t", partition_count=2))
        topic = first.metadata.image.topics["t"]
        keys, orphan = first.metadata.keys, UUID(int=5)
        state = encode_partition(PartitionState(replicas=(1,), isr=(1,), leader=1))
        grown = [keys.partition(topic.topic_id, n) for n in (2, 3)]
        left = [keys.partition(orphan, n) for n in range(3)]
        await store.txn([], [Put(key, state) for key in (*grown, *left)])
        await until(lambda: second.metadata.builder.orphans)
        leftovers = second.controller.leftovers()
        await store.txn([], [Put(grown[0], state)])
        store.expire(first.metadata.lease)
        await until(lambda: not second.metadata.builder.orphans)
        assert len(leftovers.orphans) == 5
        assert len(second.metadata.image.topics["t"].partitions) == 2
