"""A broker ends up registered as it should be, whatever happens to its store and its addresses.

Answers are lost, the store goes away, the lease ends, somebody deletes the key, the addresses
change, all in between each other, each step at any point of the one before.
"""

import asyncio
import random
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from headrace.base.image import BrokerState, Endpoint
from headrace.meta.keys import Keys, decode_broker
from headrace.meta.store import Delete
from headrace.server import metadata as under_test
from headrace.server.metadata import Metadata
from headrace.sim.store import Loss, SimulatedStore

KEYS = Keys()
STATIC = {"broker.session.timeout.ms": "600000", "broker.heartbeat.interval.ms": "1"}
SEEDS = range(60)
STEPS = 12


def at(port: int) -> tuple[Endpoint, ...]:
    return (Endpoint(listener="PLAINTEXT", host="h", port=port),)


@dataclass
class World:
    metadata: Metadata
    store: SimulatedStore
    chance: random.Random
    port: int = 9092
    ended: bool = False
    """Whether the store ever ended a lease by itself."""
    seen: list[BrokerState] = field(default_factory=list)

    async def watch(self) -> None:
        """Every registration that others could see."""
        async for changes in self.store.watch(KEYS.prefix, 1):
            for change in changes:
                if change.key == KEYS.broker(1) and (entry := change.entry):
                    self.seen.append(
                        decode_broker(entry.key, entry.value, 1, entry.create_revision)
                    )

    async def step(self) -> None:
        faults = self.store.faults
        what = self.chance.choice(["move", "move", "lose", "lose", "away", "end", "delete", "wait"])
        if what == "move":
            self.port += 1
            self.metadata.advertise(at(self.port))
        elif what == "lose":
            faults.losses.append(self.chance.choice([None, Loss.BEFORE, Loss.AFTER]))
        elif what == "away":
            faults.away = not faults.away
        elif what == "end":
            self.ended = True
            entry = self.store._entries.get(KEYS.broker(1))
            if entry is not None:
                self.store.expire(entry.lease)
        elif what == "delete":
            lost, away = faults.losses.copy(), faults.away
            faults.losses.clear()
            faults.away = False
            await self.store.txn([], [Delete(KEYS.broker(1))])
            faults.losses.extend(lost)
            faults.away = away
        for _ in range(self.chance.randrange(30)):
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Nothing fails any more: the registration becomes what it should be, and stays."""
        self.store.faults.away = False
        self.store.faults.losses.clear()
        async with asyncio.timeout(10):
            while True:
                if await self.is_as_wanted():
                    break
                await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0.001)
            assert await self.is_as_wanted()

    async def is_as_wanted(self) -> bool:
        entry, shown = await self.store.get(KEYS.broker(1)), self.metadata.image.brokers[1]
        return (
            entry is not None
            and entry.create_revision == self.metadata.epoch == shown.epoch
            and shown.endpoints == at(self.port)
            and self.metadata.image.controller_id == 1
        )


@pytest.mark.parametrize("seed", SEEDS)
async def test_registration(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_RETRY_MS", 0)
    store = SimulatedStore()
    metadata = Metadata(store, node_id=1, static=STATIC)
    await metadata.start()
    await metadata.register(at(9092), incarnation=UUID(int=1))
    world = World(metadata, store, random.Random(seed))
    watching = asyncio.create_task(world.watch())
    found: list[bool] = []
    metadata.subscribe(lambda _, new: found.append(1 in new.brokers))
    for _ in range(STEPS):
        await world.step()
    await world.settled()
    assert not metadata.fenced.done() and all(found)
    assert world.seen[-1].endpoints == at(world.port)
    for before, after in zip(world.seen, world.seen[1:], strict=False):
        earlier = {state.epoch for state in world.seen if state.epoch < after.epoch}
        assert after.continues in (earlier if world.ended else {before.epoch})
    watching.cancel()
    await metadata.close()
    assert await store.get(KEYS.broker(1)) is None
    await store.close()
