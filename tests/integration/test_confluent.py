"""confluent-kafka (librdkafka): groups eager and cooperative, admin calls, idempotence."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    OffsetSpec,
    ResourceType,
)

from e2e.kafka.headrace import Headrace
from tests.integration.clients import (
    CODEC_NAMES,
    DEADLINE_S,
    codecs_on_disk,
    create_topic,
    offsets,
    pairs,
    produce,
    read_to_end,
    until,
)
from tests.integration.conftest import PARTITIONS, MakeBroker


class Member:
    """A consumer in a thread of its own, as an application has it; commits what it has read."""

    def __init__(self, broker: Headrace, group: str, topic: str, **settings: object) -> None:
        self.values: list[bytes] = []
        self.assigned: set[int] = set()
        self.revocations = 0
        self.lost: list[BaseException] = []
        self._leaving = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "heartbeat.interval.ms": 100,
                "session.timeout.ms": 6000,
                "enable.auto.commit": False,
            }
            | {key.replace("_", "."): value for key, value in settings.items()}
        )
        self._consumer.subscribe([topic], on_assign=self._assign, on_revoke=self._revoke)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _assign(self, _: Consumer, given: list[TopicPartition]) -> None:
        self.assigned |= {p.partition for p in given}

    def _revoke(self, _: Consumer, taken: list[TopicPartition]) -> None:
        self.revocations += 1
        self.assigned -= {p.partition for p in taken}

    def _run(self) -> None:
        try:
            while not self._leaving.is_set():
                message = self._consumer.poll(0.05)
                if message is not None:
                    self._take(message)
        except BaseException as error:
            self.lost.append(error)
        finally:
            self._consumer.close()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            raise KafkaException(error)
        try:
            self._consumer.commit(message, asynchronous=False)
            self.values.append(message.value() or b"")
        except KafkaException as refused:
            # The group is on its way to a new generation: another member reads it again.
            if refused.args[0].code() not in (
                KafkaError.ILLEGAL_GENERATION,
                KafkaError.REBALANCE_IN_PROGRESS,
                KafkaError.UNKNOWN_MEMBER_ID,
            ):
                raise

    def leave(self) -> None:
        self._leaving.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        assert not self.lost


Join = Callable[..., Member]


@contextmanager
def members(broker: Headrace, group: str, topic: str) -> Iterator[Join]:
    with ExitStack() as stack:

        def join(**settings: object) -> Member:
            member = Member(broker, group, topic, **settings)
            stack.callback(member.leave)
            return member

        yield join


def admin_of(broker: Headrace) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap})


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_every_codec_with_idempotence(broker: Headrace, topic: str, codec: str) -> None:
    create_topic(broker, topic)
    produce(broker, topic, pairs(codec), codec=codec, enable_idempotence=True)
    assert read_to_end(broker, topic) == pairs(codec)
    # librdkafka leaves a batch as it is where compressing would not make it smaller.
    assert codec in codecs_on_disk(broker, topic) <= {codec, "none"}


@pytest.mark.parametrize("codec", [name for name in CODEC_NAMES if name != "none"])
def test_the_broker_keeps_a_topic_in_its_own_codec(
    broker: Headrace, topic: str, codec: str
) -> None:
    create_topic(broker, topic, config={"compression.type": codec})
    other = CODEC_NAMES[(CODEC_NAMES.index(codec) + 1) % len(CODEC_NAMES)]
    produce(broker, topic, pairs(other), codec=other)
    # librdkafka leaves a batch as it is where compressing would not make it smaller.
    assert codec in codecs_on_disk(broker, topic) <= {codec, "none"}
    assert read_to_end(broker, topic) == pairs(other)


def shares(*group: Member) -> bool:
    """Whether these members have all partitions between them, each something, none twice."""
    all_of = sorted(p for member in group for p in member.assigned)
    return all_of == list(range(PARTITIONS)) and all(member.assigned for member in group)


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_group_rebalances_as_members_come_and_go(
    broker: Headrace, topic: str, group: str, strategy: str
) -> None:
    create_topic(broker, topic, PARTITIONS)
    chosen = {"partition_assignment_strategy": strategy}
    with members(broker, group, topic) as join:
        first = join(**chosen)
        until(lambda: shares(first), "the first has all")
        second = join(**chosen)
        until(lambda: shares(first, second), "two share")
        kept = set(second.assigned)
        third = join(**chosen)
        until(lambda: shares(first, second, third), "three share")
        for partition in range(PARTITIONS):
            produce(broker, topic, pairs(f"p{partition}", 40), partition=partition)
        wanted = {value for p in range(PARTITIONS) for _, value in pairs(f"p{p}", 40)}
        until(
            lambda: wanted == {*first.values, *second.values, *third.values}, "all of it was read"
        )
        first.leave()
        until(lambda: shares(second, third), "those that stay take over")
        if strategy == "cooperative-sticky":
            assert kept & second.assigned, "a cooperative member keeps what it had"
        all_read = [*first.values, *second.values, *third.values]
        assert len(all_read) == len(wanted), "committed offsets: nobody reads twice"
    everywhere = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    assert offsets(broker, group, everywhere) == [40] * PARTITIONS


def test_a_cooperative_member_reads_on_while_another_joins(
    broker: Headrace, topic: str, group: str
) -> None:
    create_topic(broker, topic, PARTITIONS)
    with members(broker, group, topic) as join:
        first = join(partition_assignment_strategy="cooperative-sticky")
        until(lambda: shares(first), "the first has all")
        second = join(partition_assignment_strategy="cooperative-sticky")
        until(lambda: shares(first, second), "two share")
        assert first.revocations == 1
        assert first.assigned, "only what moved was revoked"


def test_a_member_that_dies_is_thrown_out(broker: Headrace, topic: str, group: str) -> None:
    """Its heartbeats end with max.poll.interval.ms: it polls once and never again."""
    create_topic(broker, topic, 2)
    dead = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "session.timeout.ms": 1000,
            "heartbeat.interval.ms": 200,
            "max.poll.interval.ms": 1000,
        }
    )
    assigned: list[int] = []
    dead.subscribe([topic], on_assign=lambda _, given: assigned.extend(p.partition for p in given))
    until(lambda: dead.poll(0.05) is None and assigned, "the first member has its partitions")
    with members(broker, group, topic) as join:
        second = join(session_timeout_ms=1000, heartbeat_interval_ms=200)
        until(lambda: second.assigned == {0, 1}, "the living one has everything")
    dead.close()


def test_a_static_member_comes_back_without_a_rebalance(
    broker: Headrace, topic: str, group: str
) -> None:
    create_topic(broker, topic, 2)
    with members(broker, group, topic) as join:
        stays = join(group_instance_id="stays")
        leaves = join(group_instance_id="leaves")
        until(lambda: {*stays.assigned, *leaves.assigned} == {0, 1} and leaves.assigned, "shared")
        until(lambda: len(stays.assigned) == 1, "one each")
        had, revocations = set(leaves.assigned), stays.revocations
        leaves.leave()
        back = join(group_instance_id="leaves")
        until(lambda: back.assigned == had, "it has what it had")
        assert stays.revocations == revocations
        assert len(stays.assigned) == 1


def test_admin_topics_and_configs(broker: Headrace, topic: str) -> None:
    admin = admin_of(broker)
    create_topic(broker, topic, 2, config={"retention.ms": "12345"})
    with pytest.raises(KafkaException) as refused:
        create_topic(broker, topic)
    assert refused.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    for future in admin.create_partitions([NewPartitions(topic, 4)]).values():
        future.result(DEADLINE_S)
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(DEADLINE_S)
    assert [p.id for p in described.partitions] == [0, 1, 2, 3]
    assert described.topic_id.get_most_significant_bits() != 0

    resource = ConfigResource(ResourceType.TOPIC, topic)
    changed = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE),
        ],
    )
    for future in admin.incremental_alter_configs([changed]).values():
        future.result(DEADLINE_S)
    found = admin.describe_configs([resource])[resource].result(DEADLINE_S)
    assert found["cleanup.policy"].value == "compact"
    assert found["cleanup.policy"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert (found["retention.ms"].value, found["retention.ms"].is_default) == ("604800000", True)
    bad = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    with pytest.raises(KafkaException, match=r"retention\.ms"):
        admin.incremental_alter_configs([bad])[bad].result(DEADLINE_S)

    for future in admin.delete_topics([topic]).values():
        future.result(DEADLINE_S)
    assert topic not in admin.list_topics(timeout=DEADLINE_S).topics
    until(lambda: not list(broker.data_dir.glob(f"{topic}-[0-9]")), "its folders are renamed")


def test_admin_offsets_records_and_cluster(broker: Headrace, topic: str) -> None:
    admin = admin_of(broker)
    create_topic(broker, topic)
    produce(broker, topic, pairs("none", 100))
    partition = TopicPartition(topic, 0)

    def listed(spec: OffsetSpec) -> int:
        future = admin.list_offsets({partition: spec})[partition]
        return int(future.result(DEADLINE_S).offset)

    assert (listed(OffsetSpec.earliest()), listed(OffsetSpec.latest())) == (0, 100)
    assert 0 <= listed(OffsetSpec.max_timestamp()) < 100
    assert listed(OffsetSpec.for_timestamp(0)) == 0
    deleted = admin.delete_records([TopicPartition(topic, 0, 40)])[partition].result(DEADLINE_S)
    assert deleted.low_watermark == 40
    assert listed(OffsetSpec.earliest()) == 40
    assert read_to_end(broker, topic, start=40) == pairs("none", 100)[40:]
    cluster = admin.describe_cluster().result(DEADLINE_S)
    assert cluster.cluster_id
    assert [(n.id, f"{n.host}:{n.port}") for n in cluster.nodes] == [(1, broker.bootstrap)]
    assert cluster.controller.id == 1


def test_admin_groups(broker: Headrace, topic: str, group: str) -> None:
    admin = admin_of(broker)
    create_topic(broker, topic)
    produce(broker, topic, pairs("none", 10))
    with members(broker, group, topic) as join:
        member = join(client_id="reader-of-ten")
        until(lambda: len(member.values) == 10, "ten were read")
        (described,) = admin.describe_consumer_groups([group]).values()
        about = described.result(DEADLINE_S)
        assert about.state == ConsumerGroupState.STABLE
        assert [m.client_id for m in about.members] == ["reader-of-ten"]
        (one,) = about.members
        assert [(p.topic, p.partition) for p in one.assignment.topic_partitions] == [(topic, 0)]
        with pytest.raises(KafkaException) as refused:
            admin.delete_consumer_groups([group])[group].result(DEADLINE_S)
        assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    groups = admin.list_consumer_groups().result(DEADLINE_S)
    assert group in {g.group_id for g in groups.valid}
    changed = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])
    admin.alter_consumer_group_offsets([changed])[group].result(DEADLINE_S)
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    told = admin.list_consumer_group_offsets([asked])[group].result(DEADLINE_S)
    assert [p.offset for p in told.topic_partitions] == [3]
    admin.delete_consumer_groups([group])[group].result(DEADLINE_S)
    left = admin.list_consumer_groups().result(DEADLINE_S)
    assert group not in {g.group_id for g in left.valid}


def test_an_idempotent_producer_goes_on_over_a_clean_restart(make_broker: MakeBroker) -> None:
    broker = make_broker()
    create_topic(broker, "kept")
    told: list[KafkaError | None] = []
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 0,
            "reconnect.backoff.max.ms": 100,
        }
    )

    def send(numbers: range) -> None:
        for number in numbers:
            producer.produce("kept", b"%d" % number, on_delivery=lambda e, _: told.append(e))
            producer.poll(0)

    send(range(200))
    assert producer.flush(DEADLINE_S) == 0
    broker.stop()
    send(range(200, 400))
    broker.start()
    assert producer.flush(DEADLINE_S) == 0
    assert told == [None] * 400
    assert [value for _, value in read_to_end(broker, "kept")] == [b"%d" % n for n in range(400)]


def test_a_transactional_producer_is_refused_for_good(broker: Headrace, topic: str) -> None:
    """A clear error at once, and not a retry until its patience ends."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": f"no-{uuid.uuid4()}"}
    )
    with pytest.raises(KafkaException) as refused:
        producer.init_transactions(DEADLINE_S)
    error = refused.value.args[0]
    assert error.fatal()
    assert not error.retriable()
    assert "does not serve transactions" in error.str()


def test_a_message_over_the_topics_limit_is_refused(broker: Headrace, topic: str) -> None:
    create_topic(broker, topic, config={"max.message.bytes": "1000"})
    failed: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, b"x" * 5000, on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(DEADLINE_S) == 0
    assert failed[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    produce(broker, topic, [(b"k", b"small")])
    assert read_to_end(broker, topic) == [(b"k", b"small")]


def test_a_reader_at_a_lost_offset_is_reset(broker: Headrace, topic: str, group: str) -> None:
    create_topic(broker, topic)
    produce(broker, topic, pairs("none", 20))
    admin = admin_of(broker)
    admin.delete_records([TopicPartition(topic, 0, 15)])[TopicPartition(topic, 0)].result(
        DEADLINE_S
    )
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 5)])
    found = consumer.consume(5, timeout=DEADLINE_S)
    consumer.close()
    assert [m.offset() for m in found] == [15, 16, 17, 18, 19]
