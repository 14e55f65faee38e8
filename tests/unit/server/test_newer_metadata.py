"""Metadata of a newer Headrace: a broker that does not know it says so and stops, at the start
and while it runs, and touches nothing."""

import asyncio
import re
from uuid import UUID, uuid4

import pytest
from headrace.base.image import Endpoint
from headrace.core.controller import NewTopic
from headrace.meta.keys import Keys, UnknownFormat
from headrace.meta.store import Delete, Put
from headrace.server.controller import Controller
from headrace.server.metadata import Metadata, MetadataError
from headrace.sim.store import SimulatedStore

KEYS = Keys()
ENDPOINTS = (Endpoint(listener="PLAINTEXT", host="h", port=9092),)
SLOW = {"broker.session.timeout.ms": "600000", "broker.heartbeat.interval.ms": "300000"}
TOPIC_ID = UUID(int=9)
OTHERS = [
    KEYS.topic("new"),
    KEYS.partition(TOPIC_ID, 0),
    KEYS.deleting(TOPIC_ID),
    KEYS.settings("broker", ""),
    KEYS.feature("headrace.format"),
    KEYS.quota((("user", "u"),)),
    KEYS.broker(2),
    KEYS.producer_ids,
]
NEWER = [
    (key, b'{"v":2}', f"{key} has format 2, and this Headrace knows up to 1") for key in OTHERS
]
LEVELS = [
    (KEYS.feature("headrace.format"), b'{"v":1,"level":2}', "at 2, .* the levels 1 to 1 of it"),
    (KEYS.feature("teleport"), b'{"v":1,"level":1}', "teleport is finalized at 1, .* nothing of"),
]
NONSENSE = [
    (KEYS.settings("broker", ""), value, "holds no value of Headrace's")
    for value in (b"", b"{", b"[]", b"{}", b"\xff", b'{"v":"x"}')
]


async def running(store: SimulatedStore) -> Metadata:
    metadata = Metadata(store, node_id=1, static=SLOW)
    await metadata.start()
    await metadata.register(ENDPOINTS, incarnation=uuid4())
    return metadata


@pytest.mark.parametrize(("key", "value", "message"), NEWER + LEVELS + NONSENSE)
@pytest.mark.parametrize("told", ["by the watch", "by a full read"])
async def test_it_comes_while_the_broker_runs(
    key: str, value: bytes, message: str, told: str
) -> None:
    store = SimulatedStore()
    metadata = await running(store)
    await Controller(metadata, store).create_topic(NewTopic(name="t", partition_count=2))
    before, told_of = metadata.image, []
    metadata.subscribe(lambda _, new: told_of.append(new))
    store.faults.watches_held = told == "by a full read"
    # In one revision with what would cost data: none of it is believed.
    await store.txn([], [Delete(KEYS.topic("t")), Put(key, value)])
    if store.faults.watches_held:
        store.compact()
    assert re.search(message, await asyncio.wait_for(metadata.fenced, 5))
    assert metadata.image is before and not told_of
    await metadata.close()
    assert await store.get(KEYS.controller) is None, "others may go on"
    await store.close()


@pytest.mark.parametrize(("key", "value", "message"), NEWER + LEVELS + NONSENSE)
async def test_it_is_there_before_the_broker(key: str, value: bytes, message: str) -> None:
    store = SimulatedStore()
    metadata = await running(store)
    await metadata.close()
    await store.txn([], [Put(key, value)])
    before = await store.snapshot("")
    late = Metadata(store, node_id=1, static=SLOW)
    with pytest.raises((UnknownFormat, MetadataError), match=message):
        await late.start()
    await late.close()
    assert await store.snapshot("") == before, "nothing was written"
    await store.close()


async def test_a_registration_of_a_newer_format_under_our_id_is_left_alone() -> None:
    """Between our reading everything and our registering."""
    store = SimulatedStore()
    metadata = Metadata(store, node_id=1, static=SLOW)
    await metadata.start()
    store.faults.watches_held = True
    await store.txn([], [Put(KEYS.broker(1), b'{"v":2}')])
    with pytest.raises(UnknownFormat, match="brokers/1 has format 2"):
        await metadata.register(ENDPOINTS, incarnation=uuid4())
    await metadata.close()
    assert await store.get(KEYS.broker(1)) is not None
    await store.close()
