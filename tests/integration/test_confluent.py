"""confluent-kafka (librdkafka 2.x): producing, groups, administration, refused transactions."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

DEADLINE_S = 40.0
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def create(bootstrap: str, name: str, partitions: int = 4, **config: str) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values():
        done.result(20)
    return admin


def produce(bootstrap: str, topic: str, values: list[bytes], **config: object) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, **config})
    failed: list[KafkaError] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda e, m: failed.append(e) if e else None)
    assert producer.flush(30) == 0
    assert not failed


def consumer(bootstrap: str, group: str, **config: object) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "heartbeat.interval.ms": 200,
            "session.timeout.ms": 10_000,
            **config,
        }
    )


def until(done: Callable[[], bool], *polled: Consumer) -> list[Message]:
    """Poll everybody until `done()`; what came. Fails after 40 s."""
    limit = time.monotonic() + DEADLINE_S
    came = []
    while not done():
        assert time.monotonic() < limit, "not within 40 s"
        for one in polled:
            message = one.poll(0.05)
            if message is not None and message.error() is None:
                came.append(message)
    return came


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec(bootstrap: str, name: str, codec: str, idempotent: bool) -> None:
    create(bootstrap, name, 1)
    values = [b"%d " % i + b"v" * (i % 200) for i in range(1000)]
    config = {"compression.type": codec, "enable.idempotence": idempotent, "linger.ms": 20}
    produce(bootstrap, name, values, **config)
    reader = consumer(bootstrap, name)
    reader.assign([TopicPartition(name, 0, 0)])
    came: list[Message] = []
    limit = time.monotonic() + DEADLINE_S
    while len(came) < len(values) and time.monotonic() < limit:
        came += reader.consume(500, 0.5)
    reader.close()
    assert [m.value() for m in came] == values
    assert [m.offset() for m in came] == list(range(len(values)))


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_a_group_as_members_come_and_go(bootstrap: str, name: str, strategy: str) -> None:
    create(bootstrap, name, 4)
    config = {"partition.assignment.strategy": strategy}
    members = [consumer(bootstrap, name, **config) for _ in range(3)]

    def owns() -> list[list[int]]:
        return [sorted(tp.partition for tp in m.assignment()) for m in members]

    def shared_by(count: int) -> bool:
        owned = owns()
        held = [p for one in owned for p in one]
        return sorted(held) == [0, 1, 2, 3] and sum(bool(one) for one in owned) == count

    members[0].subscribe([name])
    until(lambda: shared_by(1), members[0])
    members[1].subscribe([name])
    until(lambda: shared_by(2), *members[:2])
    members[2].subscribe([name])
    until(lambda: shared_by(3), *members)
    produce(bootstrap, name, [b"%d" % i for i in range(100)])
    seen: set[tuple[int, int]] = set()

    def all_seen() -> bool:
        return len(seen) == 100

    limit = time.monotonic() + DEADLINE_S
    while not all_seen() and time.monotonic() < limit:
        for member in members:
            message = member.poll(0.05)
            if message is not None and message.error() is None:
                place = (message.partition(), message.offset())
                assert place not in seen, "a record came twice in a stable group"
                seen.add(place)
    assert all_seen()
    members.pop().close()
    until(lambda: shared_by(2), *members)
    members.pop().close()
    until(lambda: shared_by(1), *members)
    members.pop().close()


def test_commits_survive_the_consumer(bootstrap: str, name: str) -> None:
    create(bootstrap, name, 1)
    produce(bootstrap, name, [b"a", b"b", b"c"])
    first = consumer(bootstrap, name, **{"enable.auto.commit": False})
    first.subscribe([name])
    came: list[Message] = []
    came += until(lambda: bool(first.assignment()), first)
    while not came:
        came += first.consume(1, 1.0)
    first.commit(offsets=[TopicPartition(name, 0, 2, "note")], asynchronous=False)
    first.close()
    second = consumer(bootstrap, name)
    (committed,) = second.committed([TopicPartition(name, 0)], timeout=20)
    assert (committed.offset, committed.metadata) == (2, "note")
    second.close()


def test_administration(bootstrap: str, name: str) -> None:
    admin = create(bootstrap, name, 2, **{"retention.ms": "60000"})
    produce(bootstrap, name, [b"x"] * 10)
    resource = ConfigResource(ResourceType.TOPIC, name)
    (described,) = admin.describe_configs([resource]).values()
    assert described.result(20)["retention.ms"].value == "60000"
    change = ConfigEntry("retention.ms", "70000", incremental_operation=AlterConfigOpType.SET)
    altered = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])
    for done in admin.incremental_alter_configs([altered]).values():
        done.result(20)
    (described,) = admin.describe_configs([resource]).values()
    assert described.result(20)["retention.ms"].value == "70000"
    for grown in admin.create_partitions([NewPartitions(name, 3)]).values():
        grown.result(20)
    assert len(admin.list_topics(name, timeout=20).topics[name].partitions) == 3
    for emptied in admin.delete_records([TopicPartition(name, 0, -1)]).values():
        assert emptied.result(20).low_watermark >= 0
    assert name in admin.describe_cluster().result(20).cluster_id + name
    for deleted in admin.delete_topics([name]).values():
        deleted.result(20)
    assert name not in admin.list_topics(timeout=20).topics


def test_groups_are_listed_described_and_deleted(bootstrap: str, name: str) -> None:
    admin = create(bootstrap, name, 2)
    member = consumer(bootstrap, name)
    member.subscribe([name])
    until(lambda: len(member.assignment()) == 2, member)
    (described,) = admin.describe_consumer_groups([name]).values()
    group = described.result(20)
    assert group.state.name == "STABLE"
    assert len(group.members) == 1
    assert name in {g.group_id for g in admin.list_consumer_groups().result(20).valid}
    with pytest.raises(KafkaException) as refused:
        next(iter(admin.delete_consumer_groups([name]).values())).result(20)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    member.close()
    for deleted in admin.delete_consumer_groups([name]).values():
        deleted.result(20)


def test_a_transactional_producer_is_told_at_once(bootstrap: str, name: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
    began = time.monotonic()
    with pytest.raises(KafkaException) as refused:
        producer.init_transactions(30)
    error = refused.value.args[0]
    assert time.monotonic() - began < 15, "the client tried again and again"
    assert not error.retriable(), error
