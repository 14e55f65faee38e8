"""Taking part in the election of a controller: what the watch and answers tell in either order."""

import asyncio
from uuid import UUID

import pytest
from headrace.base.image import Endpoint
from headrace.meta.keys import Keys
from headrace.meta.store import Delete
from headrace.server import election as under_test
from headrace.server.controller import Controller
from headrace.server.election import Election
from headrace.server.metadata import Metadata
from headrace.sim.store import SimulatedStore

KEYS = Keys()
SLOW = {"broker.session.timeout.ms": "600000", "broker.heartbeat.interval.ms": "300000"}
ENDPOINTS = (Endpoint(listener="PLAINTEXT", host="h", port=9092),)


async def test_a_registration_whose_answer_comes_after_its_news_takes_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "_RETRY_S", 0.01)
    store = SimulatedStore()
    metadata = Metadata(store, node_id=1, static=SLOW)
    await metadata.start()
    await metadata.register(ENDPOINTS, incarnation=UUID(int=1))
    registered = metadata.epoch
    metadata.epoch = registered - 1  # As it is until the answer is there.
    election = Election(metadata, store, Controller(metadata, store))
    election.start()
    await store.txn([], [Delete(KEYS.controller)])
    async with asyncio.timeout(5):
        while metadata.image.controller_id >= 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert metadata.image.controller_id == -1
        metadata.epoch = registered
        while metadata.image.controller_id != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await election.close()
    await metadata.close()
    await store.close()
