"""A broker's registration: lost and claimed again, taken by a twin, or its cluster gone."""

import asyncio
from uuid import UUID

import pytest
from headrace.base.image import BrokerState, Endpoint
from headrace.core.controller import NewTopic
from headrace.meta.keys import Keys, decode_broker, encode_broker
from headrace.meta.store import Delete, Put
from headrace.server.controller import Controller
from headrace.server.metadata import Metadata
from headrace.sim.store import SimulatedStore

KEYS = Keys()
SLOW = {"broker.session.timeout.ms": "600000", "broker.heartbeat.interval.ms": "300000"}
"""Nothing here may wait for a heartbeat."""
ENDPOINTS = (Endpoint(listener="PLAINTEXT", host="h", port=9092),)


async def join(store: SimulatedStore, number: int, static: dict[str, str]) -> Metadata:
    metadata = Metadata(store, node_id=1, static=static)
    await metadata.start()
    await metadata.register(ENDPOINTS, incarnation=UUID(int=number), continues=7)
    return metadata


async def until_epoch(metadata: Metadata, after: int) -> BrokerState:
    async with asyncio.timeout(5):
        while True:
            state = metadata.image.brokers.get(1)
            if state is not None and state.epoch > after:
                return state
            await asyncio.sleep(0)


async def empty(store: SimulatedStore) -> None:
    """What `etcdctl del --prefix` does: everything at one revision."""
    keys = [entry.key for entry in (await store.snapshot("/")).entries]
    await store.txn([], [Delete(key) for key in keys])


async def test_a_lost_registration_is_claimed_again_at_once() -> None:
    store = SimulatedStore()
    metadata = await join(store, 1, SLOW)
    first = metadata.image.brokers[1]
    assert (first.epoch, first.continues) == (metadata.epoch, 7)
    entry = await store.get(KEYS.broker(1))
    assert entry is not None
    shown: list[bool] = []
    metadata.subscribe(lambda _, new: shown.append(1 in new.brokers))
    store.expire(entry.lease)
    again = await until_epoch(metadata, first.epoch)
    assert again.continues == first.epoch
    assert again.epoch == metadata.epoch
    assert metadata.image.controller_id == 1
    assert len(shown) >= 2 and all(shown), "clients find us meanwhile"
    assert not metadata.fenced.done()
    await metadata.close()
    await store.close()


async def test_a_broker_whose_lease_ended_as_the_store_went_away_still_shows_itself() -> None:
    store = SimulatedStore()
    metadata = await join(store, 1, SLOW)
    epoch = metadata.epoch
    entry = await store.get(KEYS.broker(1))
    assert entry is not None
    store.faults.away = True
    store.expire(entry.lease)
    await asyncio.wait_for(metadata.reached(epoch + 1), 5)
    assert metadata.image.brokers[1].epoch == epoch
    assert metadata.image.controller_id == -1
    await metadata.close()
    await store.close()


async def test_of_two_brokers_with_one_id_the_first_stops() -> None:
    store = SimulatedStore()
    first = await join(store, 1, SLOW)
    second = await join(store, 2, SLOW)
    why = await asyncio.wait_for(first.fenced, 5)
    assert "node.id=1 has registered (h:9092)" in why
    assert second.image.brokers[1].incarnation == UUID(int=2)
    assert not second.fenced.done()
    await first.close()
    await second.close()
    assert await store.get(KEYS.broker(1)) is None
    await store.close()


@pytest.mark.parametrize("told", ["by the watch", "by a full read"])
async def test_an_emptied_store_stops_the_broker_and_deletes_nothing(told: str) -> None:
    store = SimulatedStore()
    metadata = await join(store, 1, SLOW)
    await Controller(metadata, store).create_topic(NewTopic(name="t", partition_count=2))
    topics = metadata.image.topics
    if told == "by a full read":
        store.faults.watches_held = True
        await empty(store)
        store.compact()
    else:
        await empty(store)
    why = await asyncio.wait_for(metadata.fenced, 5)
    assert f"no longer holds the cluster {metadata.cluster_id}" in why
    assert metadata.image.topics is topics
    await metadata.close()
    await store.close()


async def test_a_store_with_another_cluster_in_its_place_is_not_registered_in() -> None:
    """Its revisions may be lower than what we know: no watch would tell."""
    store = SimulatedStore()
    metadata = await join(store, 1, {**SLOW, "broker.heartbeat.interval.ms": "1"})
    store.faults.watches_held = True
    await empty(store)
    await store.txn([], [Put(KEYS.cluster, b'{"v":1,"id":"another"}')])
    entry = await store.get(KEYS.broker(1))
    assert entry is None
    await store.revoke_lease(metadata._lease)
    await asyncio.wait_for(metadata.fenced, 5)
    assert await store.get(KEYS.broker(1)) is None
    await metadata.close()
    await store.close()


@pytest.mark.parametrize("continues", [None, 0, 12])
def test_what_a_registration_continues_is_written(continues: int | None) -> None:
    broker = BrokerState(
        broker_id=1, epoch=3, incarnation=UUID(int=1), endpoints=ENDPOINTS, continues=continues
    )
    assert decode_broker("k", encode_broker(broker), 1, 3) == broker
