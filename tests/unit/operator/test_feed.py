"""What the queue is told when, and how a deaf watch is noticed."""

from collections.abc import AsyncIterator
from typing import Any

from headrace_operator.clock import SystemClock
from headrace_operator.feed import Feed
from headrace_operator.kinds import CLUSTER, TOPIC, Key, Kind, Object
from headrace_operator.kube import Page
from headrace_operator.metrics import Metrics
from headrace_operator.queue import Queue
from headrace_operator.settings import Settings
from headrace_operator.store import Change, Store
from headrace_operator.watched import DEFINITIONS, guards, watched

SETTINGS = Settings(namespaces=("ns",), watch_nodes=False)


class Listed:
    """The LISTs that a test says."""

    def __init__(self) -> None:
        self.topics: list[Object] = []
        self.version = 10
        self.asked: list[tuple[Kind, str | None, str]] = []

    async def list_pages(
        self, kind: Kind, namespace: str | None, *, labels: str
    ) -> AsyncIterator[Page]:
        self.asked.append((kind, namespace, labels))
        items = self.topics if kind is TOPIC else []
        yield Page(items=items, resource_version=str(self.version), last=True)


class World:
    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.listed = Listed()
        kube: Any = self.listed
        self.store = Store({each.kind: each.owners for each in watched(settings)})
        self.queue = Queue(
            clock=SystemClock(),
            jitter=lambda: 0.0,
            lane_of=lambda key: key.namespace,
            workers=1,
            lane_workers=1,
        )
        self.feed = Feed(kube, self.store, self.queue, Metrics(), settings)


def topic(name: str, version: int) -> Object:
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": name,
            "resourceVersion": str(version),
            "generation": 1,
        },
        "spec": {"clusterRef": {"name": "c"}},
    }


async def test_a_standby_keeps_its_store_and_queues_all_once_it_acts() -> None:
    world = World()
    world.feed.heard(TOPIC, None, topic("a", 1))
    world.listed.topics = [topic("a", 1), topic("b", 2)]
    await world.feed.sweep()
    assert world.queue.waiting == 0
    world.feed.activate()
    assert world.queue.waiting == 2
    world.feed.heard(TOPIC, "ADDED", topic("c", 11))
    assert world.queue.waiting == 3


async def test_only_what_is_watched_is_listed_and_with_its_labels() -> None:
    world = World()
    await world.feed.sweep()
    assert {namespace for _, namespace, _ in world.listed.asked} == {"ns"}
    labels = {kind.name: selector for kind, _, selector in world.listed.asked}
    assert labels["Secret"] == "app.kubernetes.io/managed-by=headrace-operator"
    assert labels["Topic"] == ""
    assert "Node" not in labels


async def test_old_news_queues_nothing() -> None:
    world = World()
    world.feed.activate()
    world.feed.heard(TOPIC, "MODIFIED", topic("a", 5))
    world.feed.heard(TOPIC, "MODIFIED", topic("a", 5))
    world.feed.heard(TOPIC, "DELETED", topic("gone", 6))
    assert world.queue.waiting == 1


async def test_a_watch_is_deaf_when_no_event_follows_a_sweeps_finding() -> None:
    world = World()
    await world.feed.sweep()
    for count in range(3):
        world.listed.version += 10
        world.listed.topics = [topic(f"t{count}", world.listed.version)]
        await world.feed.sweep()
        assert world.feed.deaf_sweeps == count
    world.feed.heard(TOPIC, "ADDED", topic("t2", world.listed.version))
    world.feed.heard(TOPIC, "DELETED", topic("t1", world.listed.version))
    await world.feed.sweep()
    assert world.feed.deaf_sweeps == 0


async def test_what_a_sweep_finds_gone_is_looked_at() -> None:
    world = World()
    world.listed.topics = [topic("a", 1)]
    await world.feed.sweep()
    world.feed.active = True
    world.listed.topics, world.listed.version = [], 20
    await world.feed.sweep()
    assert world.store.at(Key(TOPIC, "ns", "a")) is None
    assert world.queue.waiting == 1


async def test_definitions_are_looked_at_when_another_cluster_is_protected() -> None:
    everywhere = World(Settings(watch_nodes=False))
    named = World()
    for world in (everywhere, named):
        world.feed.activate()
    assert (everywhere.queue.waiting, named.queue.waiting) == (len(DEFINITIONS), 0)
    assert guards(change(None, True)) and guards(change(True, False)) and guards(change(True, None))
    assert not guards(change(None, False)) and not guards(change(True, True))


def change(old: bool | None, new: bool | None) -> Change:
    """Of a Cluster that is protected or not; None where it is not there."""
    objects: list[Object | None] = [
        None if held is None else {"spec": {"deletionProtection": held}} for held in (old, new)
    ]
    return Change(key=Key(CLUSTER, "ns", "c"), old=objects[0], new=objects[1])
