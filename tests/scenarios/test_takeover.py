"""Three brokers that lose and take the controller's role while topics are made and deleted.

The store is the simulated one; what each broker sends to it, and what it is told by it, may come
late. A seed makes a schedule; in each the same promises are kept, and planted bugs break them.
Time is virtual: it jumps to the next timer when nobody has anything to do.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from headrace.base.errors import Code, Refusal
from headrace.base.image import Endpoint, TopicState
from headrace.core.controller import MorePartitions, NewTopic
from headrace.meta.keys import Keys, decode, decode_topic
from headrace.meta.store import Change, Delete, Entry, Guard, Operation, Outcome, Snapshot
from headrace.server import controller as controller_module
from headrace.server import crash
from headrace.server.controller import Controller, Leftovers
from headrace.server.election import Election
from headrace.server.metadata import Metadata
from headrace.sim.store import Loss, SimulatedStore

SEEDS = 60
STEPS = 40
NODES = (1, 2, 3)
SETTLED_S = 60.0
LATE_SHARE, LATE_S = 0.2, 4.0
"""How many messages are late, and how late at most."""
KEYS = Keys()
SLOW = {"broker.session.timeout.ms": "600000", "broker.heartbeat.interval.ms": "300000"}
"""Leases end when the schedule says so."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits; its clock goes on by what it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        selector = self._selector  # type: ignore[attr-defined]
        look = selector.select

        def jump(timeout: float | None = None) -> Any:
            ready = look(0)
            if not ready and timeout:
                self._now += timeout
            return ready

        selector.select = jump

    def time(self) -> float:
        return self._now


class Violation(Exception):
    """A promise was broken; the sentence says which."""


class Link:
    """One broker's way to the store: requests, answers and news may take their time."""

    def __init__(self, store: SimulatedStore, chance: random.Random) -> None:
        self.store = store
        self.news = asyncio.Event()
        self.news.set()
        self.late_share = LATE_SHARE
        self._chance = chance

    async def _travel(self) -> None:
        if self._chance.random() < self.late_share:
            await asyncio.sleep(self._chance.random() * LATE_S)

    async def txn(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        await self._travel()
        outcome = await self.store.txn(guards, operations)
        await self._travel()
        return outcome

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        async for changes in self.store.watch(prefix, after_revision):
            await self.news.wait()
            yield changes

    async def snapshot(self, prefix: str) -> Snapshot:
        return await self.store.snapshot(prefix)

    async def get(self, key: str) -> Entry | None:
        return await self.store.get(key)

    async def grant_lease(self, ttl_ms: int) -> int:
        return await self.store.grant_lease(ttl_ms)

    async def keep_alive(self, lease: int) -> bool:
        return await self.store.keep_alive(lease)

    async def revoke_lease(self, lease: int) -> None:
        await self.store.revoke_lease(lease)

    async def close(self) -> None:
        return


class Node:
    """What of a broker takes part in this."""

    def __init__(self, store: SimulatedStore, node_id: int, chance: random.Random) -> None:
        self.link = Link(store, chance)
        self.metadata = Metadata(self.link, node_id=node_id, static=SLOW)
        self.controller = Controller(self.metadata, self.link)
        self.election = Election(self.metadata, self.link, self.controller)

    async def start(self) -> None:
        await self.metadata.start()
        self.election.start()
        here = Endpoint(listener="PLAINTEXT", host="h", port=self.metadata.node_id)
        await self.metadata.register((here,), incarnation=uuid4())

    async def close(self) -> None:
        await self.election.close()
        await self.metadata.close()


class World:
    """Runs one schedule; `run()` raises Violation."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._store = SimulatedStore()
        self._nodes = [Node(self._store, node_id, self._random) for node_id in NODES]
        self._asked: set[asyncio.Task[None]] = set()
        self._made: dict[str, TopicState] = {}
        self._doubtful: set[str] = set()
        self.takeovers = 0
        self.refused = 0

    async def run(self) -> None:
        for node in self._nodes:
            await node.start()
        self._nodes[0].metadata.subscribe(self._count)
        for _ in range(STEPS):
            self._step()
            await asyncio.sleep(self._random.choice((0, 0, 0.01, 0.3)))
        for node in self._nodes:
            node.link.news.set()
            node.link.late_share = 0.0
        await asyncio.gather(*self._asked)
        await self._until(self._in_office)
        # What a controller gave up half done in a term that lasts is its successor's to remove.
        self._store.expire(self._entries("controller")[KEYS.controller].lease)
        await self._until(self._unsettled)
        self._check_topics()
        for node in self._nodes:
            await node.close()
        await self._store.close()

    async def _until(self, nothing_left: Callable[[], str]) -> None:
        try:
            async with asyncio.timeout(SETTLED_S):
                while nothing_left():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise Violation(nothing_left()) from None

    def _count(self, old: Any, new: Any) -> None:
        self.takeovers += new.controller_id >= 0 and new.controller_epoch != old.controller_epoch

    def _step(self) -> None:
        node = self._random.choice(self._nodes)
        # Who believes to be controller is asked, also where it is so no longer.
        believers = [n for n in self._nodes if n.metadata.image.controller_id == n.metadata.node_id]
        name = f"t{self._random.randrange(4)}"
        match self._random.randrange(12):
            case 0 | 1:
                for one in believers:
                    self._ask(self._create(one.controller, name))
            case 2 | 3 | 4:
                for one in believers:
                    self._ask(self._grow(one.controller, name))
            case 5:
                for one in believers:
                    self._ask(self._delete(one, name))
            case 6 | 7:
                self._store.expire((believers or [node])[0].metadata.lease)
            case 8:
                node.link.news.clear()
            case 9 | 10:
                for one in self._nodes:
                    one.link.news.set()
            case _:
                self._store.faults.losses.append(Loss.AFTER)

    def _ask(self, work: Any) -> None:
        self._asked.add(asyncio.ensure_future(work))

    async def _create(self, controller: Controller, name: str) -> None:
        count = self._random.randrange(1, 9)
        made = await controller.create_topic(NewTopic(name=name, partition_count=count))
        if isinstance(made, TopicState):
            self._made[name] = made
        self._told(made)

    async def _grow(self, controller: Controller, name: str) -> None:
        more = MorePartitions(name=name, partition_count=self._random.randrange(2, 40))
        self._told(await controller.create_partitions(more))

    async def _delete(self, node: Node, name: str) -> None:
        topic = node.metadata.image.topics.get(name)
        if topic is not None:
            self._doubtful.add(name)
            self._told(await node.controller.delete_topic(topic))

    def _told(self, answer: object) -> None:
        if isinstance(answer, Refusal):
            self.refused += answer.code is Code.NOT_CONTROLLER

    def _entries(self, kind: str) -> dict[str, Entry]:
        entries = self._store._entries.items()
        return {key: entry for key, entry in entries if key.startswith(f"{KEYS.prefix}{kind}")}

    def _counted(self) -> set[str]:
        topics = (decode_topic(key, e.value) for key, e in self._entries("topics/").items())
        return {KEYS.partition(t.topic_id, n) for t in topics for n in range(t.partition_count)}

    def _in_office(self) -> str:
        return "" if self._entries("controller") else "nobody is controller"

    def _unsettled(self) -> str:
        """What is still to come, or never will."""
        entry = self._entries("controller").get(KEYS.controller)
        if entry is None:
            return "nobody is controller"
        there, counted = set(self._entries("partitions/")), self._counted()
        if counted - there:
            raise Violation(f"topics count partitions that are not there: {counted - there}")
        if there - counted or self._entries("deleting/"):
            return f"nobody removes {there - counted} and {list(self._entries('deleting/'))}"
        owner = decode(entry.key, entry.value)["broker"]
        for node in self._nodes:
            image = node.metadata.image
            if set(image.brokers) != set(NODES):
                return f"{node.metadata.node_id} knows only {set(image.brokers)}"
            if (image.controller_id, image.controller_epoch) != (owner, entry.create_revision):
                return f"{node.metadata.node_id} takes {image.controller_id} for controller"
        return ""

    def _check_topics(self) -> None:
        for node in self._nodes:
            topics = node.metadata.image.topics
            for name, topic in self._made.items():
                if name not in self._doubtful and (
                    name not in topics or topics[name].topic_id != topic.topic_id
                ):
                    raise Violation(f"{name} was made and {node.metadata.node_id} has it not")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Few partitions take several writes, and a bug is kept instead of ending the process."""
    bugs: list[BaseException] = []
    monkeypatch.setattr(controller_module, "_CHUNK", 3)
    monkeypatch.setattr(controller_module, "_GUARDED", 3)
    monkeypatch.setattr(crash, "now", bugs.append)
    yield bugs


def run(seed: int, bugs: list[BaseException]) -> World:
    async def play() -> World:
        world = World(seed)
        await world.run()
        return world

    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            world = runner.run(play())
    except Violation as broken:
        raise Violation(f"seed {seed}: {broken}") from None
    if bugs:
        raise Violation(f"seed {seed}: a broker ends itself: {bugs[0]!r}")
    return world


def test_no_promise_is_broken_by_any_schedule(small: list[BaseException]) -> None:
    takeovers = refused = 0
    for seed in range(SEEDS):
        world = run(seed, small)
        takeovers += world.takeovers
        refused += world.refused
    assert takeovers > SEEDS and refused > SEEDS, "the schedules prove little"


def any_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """A creation goes on in a later term of its maker's."""
    commit: Callable[..., Any] = Controller._commit

    async def forgetful(self: Controller, *args: Any, **named: Any) -> Any:
        return await commit(self, *args, **{**named, "term": None})

    monkeypatch.setattr(Controller, "_commit", forgetful)


def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who believes to be controller writes."""
    commit: Callable[..., Any] = Controller._commit

    async def bold(self: Controller, *args: Any, **named: Any) -> Any:
        return await commit(self, *args, **{**named, "as_controller": False})

    monkeypatch.setattr(Controller, "_commit", bold)


def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the predecessor left stays."""

    async def idle(self: Controller, _: Leftovers) -> Refusal | None:
        return None

    monkeypatch.setattr(Controller, "sweep", idle)


def blind_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep removes what was an orphan, whatever became of it."""

    async def blind(self: Controller, guards: Sequence[Any], term: int) -> Refusal | None:
        deletes = [Delete(guard.key) for guard in guards]
        return await self._commit((), deletes, term=term)

    monkeypatch.setattr(Controller, "_remove_orphans", blind)


@pytest.mark.parametrize(
    ("plant", "first"), [(any_term, 0), (unguarded, 0), (blind_sweep, 100), (no_sweep, 0)]
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None],
    first: int,
    monkeypatch: pytest.MonkeyPatch,
    small: list[BaseException],
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        for seed in range(first, first + 5 * SEEDS):
            run(seed, small)
