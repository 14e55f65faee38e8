"""kafka-python: every codec both ways, groups, admin calls, idempotence, a refused transaction."""

import threading
from collections.abc import Iterator

import pytest
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import TopicAlreadyExistsError, TransactionalIdAuthorizationFailedError

from e2e.kafka.headrace import Headrace
from tests.integration.clients import (
    CODEC_NAMES,
    DEADLINE_S,
    Pair,
    codecs_on_disk,
    create_topic,
    pairs,
    produce,
    read_to_end,
    until,
)
from tests.integration.conftest import PARTITIONS

ASSIGNORS = {"range": RangePartitionAssignor, "cooperative": CooperativeStickyAssignor}


@pytest.fixture
def admin(broker: Headrace) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield client
    client.close()


def read(broker: Headrace, topic: str, count: int) -> list[Pair]:
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, check_crcs=True)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found: list[Pair] = []

        def more() -> bool:
            for records in consumer.poll(timeout_ms=200).values():
                found.extend((r.key, r.value) for r in records)
            return len(found) >= count

        until(more, f"{count} records are read")
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "plain"])
@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_writes_with_every_codec(
    broker: Headrace, topic: str, codec: str, idempotent: bool
) -> None:
    create_topic(broker, topic)
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap,
        compression_type=None if codec == "none" else codec,
        enable_idempotence=idempotent,
        acks="all" if idempotent else 1,
        linger_ms=5,
    )
    sent = [producer.send(topic, key=key, value=value) for key, value in pairs(codec)]
    producer.flush(timeout=DEADLINE_S)
    assert [future.get(timeout=DEADLINE_S).offset for future in sent] == list(range(len(sent)))
    producer.close()
    assert read_to_end(broker, topic) == pairs(codec)
    assert codecs_on_disk(broker, topic) == {codec}


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_reads_with_every_codec(broker: Headrace, topic: str, codec: str) -> None:
    create_topic(broker, topic)
    produce(broker, topic, pairs(codec), codec=codec)
    assert read(broker, topic, len(pairs(codec))) == pairs(codec)


class Member(ConsumerRebalanceListener):
    """A consumer in a thread of its own."""

    def __init__(self, broker: Headrace, group: str, topic: str, assignor: type) -> None:
        self.values: list[bytes] = []
        self.assigned: set[int] = set()
        self.failed: list[BaseException] = []
        self._leaving = threading.Event()
        self._consumer = KafkaConsumer(
            bootstrap_servers=broker.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[assignor],
            heartbeat_interval_ms=100,
            session_timeout_ms=6000,
        )
        self._consumer.subscribe([topic], listener=self)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.assigned -= {p.partition for p in revoked}

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.assigned = {p.partition for p in self._consumer.assignment()}

    def _run(self) -> None:
        try:
            while not self._leaving.is_set():
                for records in self._consumer.poll(timeout_ms=50).values():
                    self.values.extend(r.value for r in records)
        except BaseException as error:
            self.failed.append(error)
        finally:
            self._consumer.close()

    def leave(self) -> None:
        self._leaving.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        assert not self.failed


def shares(*group: Member) -> bool:
    everything = sorted(p for member in group for p in member.assigned)
    return everything == list(range(PARTITIONS)) and all(member.assigned for member in group)


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_a_group_rebalances_as_members_come_and_go(
    broker: Headrace, topic: str, group: str, admin: KafkaAdminClient, assignor: str
) -> None:
    create_topic(broker, topic, PARTITIONS)
    first = Member(broker, group, topic, ASSIGNORS[assignor])
    living = [first]
    try:
        until(lambda: shares(first), "the first has all")
        second = Member(broker, group, topic, ASSIGNORS[assignor])
        living.append(second)
        until(lambda: shares(first, second), "two share")
        for partition in range(PARTITIONS):
            produce(broker, topic, pairs(f"p{partition}", 40), partition=partition)
        wanted = {value for p in range(PARTITIONS) for _, value in pairs(f"p{p}", 40)}
        until(lambda: wanted == {*first.values, *second.values}, "all of it was read")
        living.remove(first)
        first.leave()
        until(lambda: shares(second), "the one that stays takes over")
        described = admin.describe_groups([group])[group]
        assert len(described["members"]) == 1
    finally:
        for member in living:
            member.leave()
    committed = admin.list_group_offsets([group])[group]
    assert {p.partition: at.offset for p, at in committed.items()} == dict.fromkeys(
        range(PARTITIONS), 40
    )


def test_admin_topics_and_configs(admin: KafkaAdminClient, topic: str) -> None:
    admin.create_topics({topic: {"num_partitions": 2, "configs": {"retention.ms": "12345"}}})
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics({topic: {"num_partitions": 2}})
    admin.create_partitions({topic: 4})
    (described,) = admin.describe_topics([topic])
    assert sorted(p["partition_index"] for p in described["partitions"]) == [0, 1, 2, 3]
    assert topic in admin.list_topics()
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=None)
    configs = admin.describe_configs([resource])["topic"][topic]
    assert [(key, found["value"]) for key, found in configs.items()] == [("retention.ms", "12345")]
    admin.delete_topics([topic])
    assert topic not in admin.list_topics()


def test_admin_offsets_records_and_folders(
    broker: Headrace, admin: KafkaAdminClient, topic: str
) -> None:
    create_topic(broker, topic)
    produce(broker, topic, pairs("none", 100))
    partition = TopicPartition(topic, 0)

    def listed(spec: OffsetSpec) -> int:
        return int(admin.list_partition_offsets({partition: spec})[partition].offset)

    assert (listed(OffsetSpec.EARLIEST), listed(OffsetSpec.LATEST)) == (0, 100)
    admin.delete_records({partition: 60})
    assert listed(OffsetSpec.EARLIEST) == 60
    (folders,) = admin.describe_log_dirs({topic: [0]})
    (folder,) = folders["log_dirs"]
    assert folder["log_dir"] == str(broker.data_dir)
    (mine,) = [t for t in folder["topics"] if t["name"] == topic]
    on_disk = sum(f.stat().st_size for f in (broker.data_dir / f"{topic}-0").glob("*.log"))
    assert [p["partition_size"] for p in mine["partitions"]] == [on_disk]
    cluster = admin.describe_cluster()
    assert cluster["controller_id"] == 1
    assert [(b["broker_id"], b["port"]) for b in cluster["brokers"]] == [(1, broker.kafka_port)]


def test_a_consumer_finds_offsets_by_time(broker: Headrace, topic: str) -> None:
    create_topic(broker, topic)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for number in range(10):
        producer.send(topic, b"%d" % number, timestamp_ms=1_700_000_000_000 + 1000 * number)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    partition = TopicPartition(topic, 0)
    found = consumer.offsets_for_times({partition: 1_700_000_003_500})[partition]
    assert (found.offset, found.timestamp) == (4, 1_700_000_004_000)
    assert consumer.offsets_for_times({partition: 1_800_000_000_000})[partition] is None
    assert consumer.beginning_offsets([partition]) == {partition: 0}
    assert consumer.end_offsets([partition]) == {partition: 10}
    consumer.close()


def test_a_transactional_producer_is_refused_for_good(broker: Headrace, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    with pytest.raises(TransactionalIdAuthorizationFailedError):
        producer.init_transactions()
    producer.close(timeout=1)
