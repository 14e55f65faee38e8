"""The operator's way into a cluster, against a real broker."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from headrace.base.errors import Code, Refusal
from headrace.client.address import Address
from headrace_operator.admin import Admin
from headrace_operator.admin.clusters import ClusterAdmin
from headrace_operator.admin.outcome import Away, passes
from headrace_operator.admin.settings import ALL_BROKERS, BROKER, TOPIC, SettingsChange
from headrace_operator.plan.topic import CreateTopic, GrowTopic, LiveTopic

from e2e.kafka.headrace import Headrace
from tests.integration.conftest import MakeBroker

NO_SETTINGS: frozenset[str] = frozenset()


def admin_of(broker: Headrace) -> Admin:
    return Admin(lambda namespace, name: (Address("127.0.0.1", broker.kafka_port),))


@pytest.fixture
async def cluster(broker: Headrace) -> AsyncIterator[ClusterAdmin]:
    admin = admin_of(broker)
    yield admin.of("kafka", "prod")
    admin.close()


async def create(cluster: ClusterAdmin, name: str, partitions: int = 2, **config: str) -> LiveTopic:
    made = await cluster.create_topic(
        CreateTopic(
            name=name,
            partitions=partitions,
            config={key.replace("_", "."): value for key, value in config.items()},
        )
    )
    assert isinstance(made, LiveTopic), made
    return made


async def test_a_topic_from_creation_to_deletion(cluster: ClusterAdmin, topic: str) -> None:
    wanted = frozenset({"retention.ms", "cleanup.policy"})
    assert await cluster.describe_topic(topic, wanted) is None

    made = await create(cluster, topic, 2, retention_ms="1000")
    assert await cluster.describe_topic(topic, wanted) == made
    assert made.settings == {"retention.ms": "1000"}

    assert await cluster.grow_topic(GrowTopic(name=topic, partitions=5)) is None
    change = SettingsChange(
        kind=TOPIC,
        name=topic,
        set_to={"cleanup.policy": "compact"},
        reset=frozenset({"retention.ms"}),
    )
    assert await cluster.alter_settings(change) is None
    seen = await cluster.describe_topic(topic, wanted)
    assert isinstance(seen, LiveTopic)
    assert (seen.partitions, seen.settings) == (5, {"cleanup.policy": "compact"})
    assert seen.topic_id == made.topic_id

    assert await cluster.delete_topic(made.topic_id) is None
    assert await cluster.describe_topic(topic, NO_SETTINGS) is None
    assert await cluster.delete_topic(made.topic_id) is None, "gone already is no failure"


async def test_refusals_are_values_with_the_brokers_sentence(
    cluster: ClusterAdmin, topic: str
) -> None:
    bad = await cluster.create_topic(
        CreateTopic(name=topic, partitions=1, config={"retention.ms": "soon"})
    )
    assert isinstance(bad, Refusal) and bad.code is Code.INVALID_CONFIG
    assert "retention.ms" in bad.message and not passes(bad)

    await create(cluster, topic, 3)
    twice = await cluster.create_topic(CreateTopic(name=topic, partitions=1, config={}))
    assert isinstance(twice, Refusal) and twice.code is Code.TOPIC_ALREADY_EXISTS
    assert passes(twice), "the next look sees the topic"
    fewer = await cluster.grow_topic(GrowTopic(name=topic, partitions=2))
    assert isinstance(fewer, Refusal) and fewer.code is Code.INVALID_PARTITIONS
    gone = SettingsChange(kind=TOPIC, name=topic + "-no", set_to={}, reset=frozenset({"nothing"}))
    refused = await cluster.alter_settings(gone)
    assert isinstance(refused, Refusal)


async def test_one_bad_topic_among_many_fails_alone(cluster: ClusterAdmin, topic: str) -> None:
    wanted = [CreateTopic(name=f"{topic}-{n}", partitions=1, config={}) for n in range(5)] + [
        CreateTopic(name=f"{topic}-bad", partitions=1, config={"no.such.key": "1"})
    ]
    made = await asyncio.gather(*map(cluster.create_topic, wanted))
    assert [isinstance(one, LiveTopic) for one in made] == [True] * 5 + [False]


async def test_hundreds_of_callers_make_few_requests(
    cluster: ClusterAdmin, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    request = cluster._cluster.request

    async def counted(api_key: int, *args: object, **more: object) -> object:
        sent.append(api_key)
        return await request(api_key, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(cluster._cluster, "request", counted)
    names = [f"{topic}-{n}" for n in range(250)]
    await asyncio.gather(*(create(cluster, name, 1) for name in names))
    assert len(sent) <= 4
    sent.clear()
    seen = await asyncio.gather(*(cluster.describe_topic(n, NO_SETTINGS) for n in names))
    assert all(isinstance(one, LiveTopic) for one in seen)
    assert len(sent) <= 4
    deleted = await asyncio.gather(
        *(cluster.delete_topic(one.topic_id) for one in seen if isinstance(one, LiveTopic))
    )
    assert set(deleted) == {None}


async def test_a_deletion_by_id_spares_a_topic_that_took_the_name(
    cluster: ClusterAdmin, topic: str
) -> None:
    first = await create(cluster, topic)
    assert await cluster.delete_topic(first.topic_id) is None
    second = await create(cluster, topic)
    assert await cluster.delete_topic(first.topic_id) is None
    seen = await cluster.describe_topic(topic, NO_SETTINGS)
    assert isinstance(seen, LiveTopic) and seen.topic_id == second.topic_id


async def test_settings_of_all_brokers(make_broker: MakeBroker) -> None:
    admin = admin_of(make_broker({"log.retention.ms": "5000"}))
    cluster = admin.of("kafka", "prod")
    assert await cluster.broker_settings() == {}, "static settings are not set for all brokers"
    change = SettingsChange(
        kind=BROKER, name=ALL_BROKERS, set_to={"log.retention.ms": "6000"}, reset=frozenset()
    )
    assert await cluster.alter_settings(change) is None
    assert await cluster.broker_settings() == {"log.retention.ms": "6000"}
    change = SettingsChange(
        kind=BROKER, name=ALL_BROKERS, set_to={}, reset=frozenset({"log.retention.ms"})
    )
    assert await cluster.alter_settings(change) is None
    assert await cluster.broker_settings() == {}
    admin.close()


async def test_what_a_broker_holds(cluster: ClusterAdmin, topic: str) -> None:
    await create(cluster, topic, 3)
    alive = await cluster.brokers_alive()
    assert isinstance(alive, frozenset) and len(alive) == 1
    (broker_id,) = alive
    held = await cluster.partitions_held(broker_id)
    assert isinstance(held, tuple)
    assert [p for p in held if p[0] == topic] == [(topic, 0), (topic, 1), (topic, 2)]
    absent = await cluster.partitions_held(broker_id + 7)
    assert isinstance(absent, Away) and f"Broker {broker_id + 7}" in absent.message


async def test_a_cluster_that_goes_and_comes_back(make_broker: MakeBroker, topic: str) -> None:
    broker = make_broker()
    admin = admin_of(broker)
    cluster = admin.of("kafka", "prod")
    await create(cluster, topic)
    broker.kill()
    gone = await cluster.describe_topic(topic, NO_SETTINGS)
    assert isinstance(gone, Away) and passes(gone)
    assert f"127.0.0.1:{broker.kafka_port}" in gone.message
    broker.start()
    assert isinstance(await cluster.describe_topic(topic, NO_SETTINGS), LiveTopic)
    admin.close()


async def test_connections_are_kept_by_cluster_and_closed_when_forgotten(broker: Headrace) -> None:
    admin = admin_of(broker)
    cluster = admin.of("kafka", "prod")
    assert admin.of("kafka", "prod") is cluster
    assert admin.of("kafka", "other") is not cluster
    assert await cluster.describe_topic("none-such", NO_SETTINGS) is None
    admin.forget("kafka", "prod")
    assert admin.of("kafka", "prod") is not cluster
    admin.close()
