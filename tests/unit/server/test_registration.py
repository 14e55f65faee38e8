"""A broker's registration: lost and claimed again, taken by a twin, or its cluster gone."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from headrace.base.image import BrokerState, Endpoint
from headrace.core.controller import NewTopic
from headrace.meta.keys import Keys, decode_broker, encode_broker
from headrace.meta.store import Delete, Guard, Operation, Outcome, Put, Unknown
from headrace.server import metadata as under_test
from headrace.server.controller import Controller
from headrace.server.metadata import Metadata
from headrace.sim.store import Loss, SimulatedStore

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
    await store.revoke_lease(metadata.lease)
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


MOVED = (Endpoint(listener="PLAINTEXT", host="elsewhere", port=9093),)


async def test_other_addresses_are_registered_anew_and_nothing_else_changes() -> None:
    store = SimulatedStore()
    metadata = await join(store, 1, SLOW)
    first, before = metadata.image, await store.get(KEYS.broker(1))
    shown: list[bool] = []
    metadata.subscribe(lambda _, new: shown.append(1 in new.brokers))
    metadata.advertise(MOVED)
    again = await until_epoch(metadata, metadata.epoch)
    after = await store.get(KEYS.broker(1))
    assert (again.endpoints, again.continues) == (MOVED, first.brokers[1].epoch)
    assert again.incarnation == first.brokers[1].incarnation
    assert metadata.epoch == again.epoch > first.brokers[1].epoch
    assert before is not None and after is not None and after.lease == before.lease
    assert len(shown) == 2 and all(shown), "clients find us meanwhile"
    assert metadata.image.controller_epoch == first.controller_epoch > 0, "the role is not lost"
    assert not metadata.fenced.done()
    await metadata.close()
    assert await store.get(KEYS.controller) is None
    await store.close()


async def test_addresses_that_did_not_change_are_not_registered_again() -> None:
    store = SimulatedStore()
    metadata = await join(store, 1, {**SLOW, "broker.heartbeat.interval.ms": "1"})
    epoch = metadata.epoch
    metadata.advertise(ENDPOINTS)
    for _ in range(20):
        await asyncio.sleep(0.001)
    entry = await store.get(KEYS.broker(1))
    assert entry is not None and entry.create_revision == epoch == metadata.epoch
    await metadata.close()
    await store.close()


async def test_a_registration_that_somebody_deletes_is_claimed_again_under_its_lease() -> None:
    store = SimulatedStore()
    metadata = await join(store, 1, SLOW)
    first = metadata.image.brokers[1]
    await store.txn([], [Delete(KEYS.broker(1))])
    again = await until_epoch(metadata, first.epoch)
    assert again.continues == first.epoch
    await metadata.close()
    await store.close()


class AwayAfterALoss(SimulatedStore):
    """An answer is lost because the store goes away."""

    async def txn(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        outcome = await super().txn(guards, operations)
        self.faults.away = self.faults.away or isinstance(outcome, Unknown)
        return outcome


async def test_what_a_lost_answer_registered_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store took it, was away when asked whether it did, and then the address changed again."""
    monkeypatch.setattr(under_test, "_RETRY_MS", 0)
    store = AwayAfterALoss()
    metadata = await join(store, 1, {**SLOW, "broker.heartbeat.interval.ms": "1"})
    first = metadata.epoch
    store.faults.losses.extend([None, Loss.AFTER])  # Removed, registered.
    metadata.advertise(MOVED)
    async with asyncio.timeout(5):
        lost = (await until_epoch(metadata, first)).epoch
        assert store.faults.away and metadata.epoch == first
        for _ in range(50):
            await asyncio.sleep(0)
        metadata.advertise(ENDPOINTS)
        store.faults.away = False
        again = await until_epoch(metadata, lost)
    assert (again.endpoints, again.continues) == (ENDPOINTS, lost)
    await metadata.close()
    await store.close()
