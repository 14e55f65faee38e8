"""Topics and Quotas as their reconcilers bring them about, against a real broker."""

import asyncio
from typing import Any

import pytest
from headrace.client.address import Address
from headrace_operator import reconcile_quota, reconcile_topic
from headrace_operator.admin import Admin
from headrace_operator.admin.settings import TOPIC as TOPIC_RESOURCE
from headrace_operator.admin.settings import SettingsChange
from headrace_operator.clock import SystemClock
from headrace_operator.context import Context
from headrace_operator.events import Events
from headrace_operator.kinds import CLUSTER, QUOTA, TOPIC, Key, Kind, Object
from headrace_operator.plan.topic import GrowTopic, LiveTopic
from headrace_operator.settings import Settings
from headrace_operator.store import Store
from headrace_operator.watched import watched

from e2e.kafka.headrace import Headrace
from tests.kube_memory import MemoryKube

RECONCILERS = {TOPIC: reconcile_topic.reconcile, QUOTA: reconcile_quota.reconcile}


class World:
    """One operator's reconcilers, a real broker as Cluster kafka/prod, and resources."""

    def __init__(self, broker: Headrace) -> None:
        self.kube = MemoryKube()
        self.store = Store({each.kind: each.owners for each in watched(Settings())})
        self.admin = Admin(lambda namespace, name: (Address("127.0.0.1", broker.kafka_port),))
        clock = SystemClock()
        self.context = Context(
            kube=self.kube,  # type: ignore[arg-type]
            store=self.store,
            queue=None,  # type: ignore[arg-type]
            settings=Settings(),
            clock=clock,
            events=Events(self.kube, clock, reporter="test"),  # type: ignore[arg-type]
            admin=self.admin,
        )
        self.cluster = self.admin.of("kafka", "prod")

    async def make(self, kind: Kind, name: str, namespace: str = "kafka", /, **spec: Any) -> Key:
        if kind is not CLUSTER:
            spec.setdefault("clusterRef", {"name": "prod", "namespace": "kafka"})
        obj = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        await self.kube.create(obj)
        return Key(kind, namespace, name)

    async def change(self, key: Key, **spec: Any) -> None:
        await self.kube.merge_patch(
            key.kind, key.namespace, key.name, {"metadata": {}, "spec": spec}
        )

    async def delete(self, key: Key) -> None:
        await self.kube.delete(key.kind, key.namespace, key.name)

    async def look(self, key: Key) -> float | None:
        """One pass with a store that is up to date, and one more that must change nothing."""
        self.see()
        again = await RECONCILERS[key.kind](self.context, key)
        writes = self.kube.writes
        self.see()
        await RECONCILERS[key.kind](self.context, key)
        assert self.kube.writes == writes, "the second pass writes nothing"
        return again

    def see(self) -> None:
        for kind in self.store.kinds:
            sweep = self.store.sweep(kind)
            sweep.take(obj for key, obj in self.kube.objects.items() if key.kind is kind)
            sweep.finish(1_000_000)

    def gone(self, key: Key) -> bool:
        return key not in self.kube.objects

    def conditions(self, key: Key) -> dict[str, Any]:
        return {c["type"]: c for c in self.kube.objects[key]["status"]["conditions"]}

    def says(self, key: Key) -> tuple[str, str, str]:
        """Which of the three states holds, its reason and its sentence."""
        found = self.conditions(key)
        (state,) = [s for s in ("Ready", "Reconciling", "Stalled") if found[s]["status"] == "True"]
        return state, found[state]["reason"], found[state]["message"]

    def status(self, key: Key) -> Object:
        status: Object = self.kube.objects[key]["status"]
        return status


@pytest.fixture
async def world(broker: Headrace) -> Any:
    made = World(broker)
    await made.make(CLUSTER, "prod", version="0.1.0")
    yield made
    made.admin.close()


async def live(world: World, name: str, *keys: str) -> LiveTopic | None:
    found = await world.cluster.describe_topic(name, frozenset(keys))
    assert found is None or isinstance(found, LiveTopic)
    return found


async def test_a_topic_is_created_grown_and_its_settings_managed(world: World, topic: str) -> None:
    key = await world.make(
        TOPIC, "orders", topicName=topic, partitions=2, config={"retention.ms": "1000"}
    )
    again = await world.look(key)
    assert world.says(key)[:2] == ("Ready", "InSync") and again is not None
    made = await live(world, topic, "retention.ms", "preallocate")
    assert made is not None and made.partitions == 2 and made.settings == {"retention.ms": "1000"}
    status = world.status(key)
    assert (status["topicId"], status["partitions"]) == (str(made.topic_id), 2)
    assert status["managedConfig"] == ["retention.ms"]

    other = SettingsChange(
        kind=TOPIC_RESOURCE, name=topic, set_to={"max.message.bytes": "5000"}, reset=frozenset()
    )
    assert await world.cluster.alter_settings(other) is None
    await world.change(key, partitions=5, config={"retention.ms": None, "preallocate": "TRUE"})
    await world.look(key)
    assert world.says(key)[0] == "Ready"
    now = await live(world, topic, "retention.ms", "preallocate", "max.message.bytes")
    assert now is not None and now.partitions == 5
    assert now.settings == {"preallocate": "true", "max.message.bytes": "5000"}


async def test_retain_leaves_the_topic_and_delete_removes_it(world: World, topic: str) -> None:
    kept = await world.make(TOPIC, "kept", topicName=topic + "-k", partitions=1)
    dropped = await world.make(
        TOPIC, "dropped", topicName=topic + "-d", partitions=1, deletionPolicy="Delete"
    )
    for key in (kept, dropped):
        await world.look(key)
    assert "finalizers" not in world.kube.objects[kept]["metadata"]
    assert world.kube.objects[dropped]["metadata"]["finalizers"]
    for key in (kept, dropped):
        await world.delete(key)
        await world.look(key)
        assert world.gone(key)
    assert await live(world, topic + "-k") is not None
    assert await live(world, topic + "-d") is None


async def test_a_deletion_spares_a_topic_that_is_not_the_one_we_made(
    world: World, topic: str
) -> None:
    key = await world.make(TOPIC, "t", topicName=topic, partitions=1, deletionPolicy="Delete")
    await world.look(key)
    made = await live(world, topic)
    assert made is not None
    await world.cluster.delete_topic(made.topic_id)
    foreign = await world.make(TOPIC, "u", topicName=topic, partitions=1)
    del world.kube.objects[Key(TOPIC, "kafka", "t")]["metadata"]["finalizers"]
    await world.delete(key)
    await world.look(foreign)
    assert await live(world, topic) is not None


@pytest.mark.parametrize("policy", ["Correct", "Report"])
async def test_what_others_change_is_corrected_or_reported(
    world: World, topic: str, policy: str
) -> None:
    key = await world.make(
        TOPIC,
        "t",
        topicName=topic,
        partitions=1,
        config={"retention.ms": "1000"},
        driftPolicy=policy,
    )
    await world.look(key)
    foreign = SettingsChange(
        kind=TOPIC_RESOURCE, name=topic, set_to={"retention.ms": "9"}, reset=frozenset()
    )
    assert await world.cluster.alter_settings(foreign) is None
    await world.look(key)
    now = await live(world, topic, "retention.ms")
    assert now is not None
    drifted = world.conditions(key)["Drifted"]
    if policy == "Correct":
        assert now.settings == {"retention.ms": "1000"} and drifted["status"] == "False"
    else:
        assert now.settings == {"retention.ms": "9"} and drifted["status"] == "True"
        assert "retention.ms is 9, not 1000" in drifted["message"]
        await world.change(key, config={"retention.ms": "2000"})
        await world.look(key)
        now = await live(world, topic, "retention.ms")
        assert now is not None and now.settings == {"retention.ms": "2000"}
        assert world.conditions(key)["Drifted"]["status"] == "False"


async def test_more_partitions_than_the_spec_says(world: World, topic: str) -> None:
    key = await world.make(TOPIC, "t", topicName=topic, partitions=2)
    await world.look(key)
    assert await world.cluster.grow_topic(GrowTopic(name=topic, partitions=4)) is None
    await world.look(key)
    state, reason, sentence = world.says(key)
    assert (state, reason) == ("Stalled", "PartitionsCannotDecrease")
    assert "set spec.partitions to 4" in sentence
    await world.change(key, partitions=4)
    await world.look(key)
    assert world.says(key)[0] == "Ready"


@pytest.mark.parametrize("adoption", ["IfCompatible", "Never"])
async def test_a_topic_that_is_there_already(world: World, topic: str, adoption: str) -> None:
    first = await world.make(TOPIC, "first", topicName=topic, partitions=1)
    await world.look(first)
    await world.delete(first)
    key = await world.make(TOPIC, "t", topicName=topic, partitions=3, adoption=adoption)
    await world.look(key)
    seen = await live(world, topic)
    assert seen is not None
    if adoption == "IfCompatible":
        assert world.says(key)[:2] == ("Ready", "InSync") and seen.partitions == 3
    else:
        assert world.says(key)[:2] == ("Stalled", "AdoptionRefused") and seen.partitions == 1


async def test_never_adopting_still_creates_and_keeps_its_own(world: World, topic: str) -> None:
    key = await world.make(TOPIC, "t", topicName=topic, partitions=1, adoption="Never")
    await world.look(key)
    assert world.says(key)[:2] == ("Ready", "InSync")


async def test_bad_settings_are_told_in_the_brokers_words_and_mended(
    world: World, topic: str
) -> None:
    key = await world.make(
        TOPIC, "t", topicName=topic, partitions=1, config={"retention.ms": "soon"}
    )
    await world.look(key)
    state, reason, sentence = world.says(key)
    assert (state, reason) == ("Stalled", "InvalidConfig") and "retention.ms" in sentence
    assert world.kube.events, "somebody has to act, so an Event says so"
    await world.change(key, config={"retention.ms": "1000"})
    await world.look(key)
    assert world.says(key)[0] == "Ready"


async def test_of_two_resources_with_one_name_the_oldest_counts(world: World, topic: str) -> None:
    first = await world.make(TOPIC, "first", topicName=topic, partitions=1)
    second = await world.make(TOPIC, "second", topicName=topic, partitions=3)
    world.kube.objects[second]["metadata"]["creationTimestamp"] = "2026-11-24T00:00:05Z"
    await world.look(second)
    state, reason, sentence = world.says(second)
    assert (state, reason) == ("Stalled", "Conflict") and "kafka/first" in sentence
    await world.look(first)
    seen = await live(world, topic)
    assert seen is not None and seen.partitions == 1
    await world.delete(first)
    await world.look(second)
    seen = await live(world, topic)
    assert world.says(second)[0] == "Ready" and seen is not None and seen.partitions == 3


async def test_other_namespaces_need_the_clusters_consent(world: World, topic: str) -> None:
    key = await world.make(TOPIC, "t", "team", topicName=topic, partitions=1)
    await world.look(key)
    assert world.says(key)[:2] == ("Stalled", "NotPermitted")
    assert await live(world, topic) is None
    await world.change(Key(CLUSTER, "kafka", "prod"), access={"namespaces": ["team"]})
    await world.look(key)
    assert world.says(key)[0] == "Ready"


async def test_an_unknown_cluster_and_one_that_goes(world: World, topic: str) -> None:
    lost = await world.make(
        TOPIC, "lost", topicName=topic, partitions=1, clusterRef={"name": "none"}
    )
    await world.look(lost)
    assert world.says(lost)[:2] == ("Stalled", "ClusterNotFound")
    held = await world.make(TOPIC, "held", topicName=topic, partitions=1, deletionPolicy="Delete")
    quota = await world.make(
        QUOTA, "q", entity={"user": {"name": topic}}, limits={"producerByteRate": "1Mi"}
    )
    for key in (held, quota):
        await world.look(key)
    del world.kube.objects[Key(CLUSTER, "kafka", "prod")]
    for key in (held, quota):
        await world.delete(key)
        await world.look(key)
        assert world.gone(key), "the finalizer is released at once"


async def test_a_quota_is_set_changed_and_reset(world: World, topic: str) -> None:
    entity = (("client-id", None), ("user", topic))
    key = await world.make(
        QUOTA,
        "q",
        entity={"user": {"name": topic}, "clientId": {"default": True}},
        limits={"producerByteRate": "1Mi", "requestPercentage": 50},
    )
    await world.look(key)
    assert world.says(key)[:2] == ("Ready", "Applied")
    assert await world.cluster.describe_quota(entity) == {
        "producer_byte_rate": 1048576.0,
        "request_percentage": 50.0,
    }
    await world.change(key, limits={"producerByteRate": None, "consumerByteRate": "2Mi"})
    await world.look(key)
    wanted = {"consumer_byte_rate": 2097152.0, "request_percentage": 50.0}
    assert await world.cluster.describe_quota(entity) == wanted
    assert world.status(key)["effective"]["consumerByteRate"] == 2097152.0
    await world.delete(key)
    await world.look(key)
    assert world.gone(key)
    assert await world.cluster.describe_quota(entity) == {}


async def test_hundreds_at_once_are_all_ready(world: World, topic: str) -> None:
    keys = [
        await world.make(TOPIC, f"{n}", topicName=f"{topic}-{n}", partitions=1) for n in range(300)
    ]
    world.see()
    await asyncio.gather(*(reconcile_topic.reconcile(world.context, key) for key in keys))
    assert {world.says(key)[:2] for key in keys} == {("Ready", "InSync")}
