"""What the controller decides, on an image of three brokers (the wire's cases are elsewhere)."""

from dataclasses import replace
from uuid import UUID

import pytest
from headrace.base.errors import Code, Refusal
from headrace.base.image import NO_LEADER, BrokerState, ClusterImage, PartitionState, TopicState
from headrace.base.persistent_map import PersistentMap
from headrace.config.broker import BrokerSettings
from headrace.core import controller
from headrace.core.controller import (
    OFFSETS_TOPIC,
    PREFERRED,
    UNCLEAN,
    MorePartitions,
    Names,
    NewTopic,
)


def image(*alive: int, partition: PartitionState | None = None) -> ClusterImage:
    brokers: PersistentMap[int, BrokerState] = PersistentMap()
    for broker_id in alive:
        state = BrokerState(
            broker_id=broker_id, epoch=1, incarnation=UUID(int=broker_id), endpoints=()
        )
        brokers = brokers.set(broker_id, state)
    topics: PersistentMap[str, TopicState] = PersistentMap()
    if partition is not None:
        topic = TopicState(name="t", topic_id=UUID(int=9), partitions=(partition,))
        topics = topics.set("t", topic)
    return ClusterImage(cluster_id="c", brokers=brokers, topics=topics)


LED_BY_2 = PartitionState(
    replicas=(1, 2, 3), isr=(1, 2), leader=2, leader_epoch=4, partition_epoch=7, revision=11
)


def code(outcome: object) -> Code | None:
    return outcome.code if isinstance(outcome, Refusal) else None


def test_a_new_topic_has_its_settings_and_no_epochs() -> None:
    made = controller.create_topic(
        image(1, 2, 3),
        NewTopic(
            name="t", partition_count=6, replication_factor=1, settings=(("retention.ms", "1"),)
        ),
        BrokerSettings(),
        topic_id=UUID(int=1),
    )
    assert isinstance(made, TopicState)
    assert made.settings == {"retention.ms": "1"}
    assert all(p.isr == p.replicas and p.leader == p.replicas[0] for p in made.partitions)
    assert {(p.leader_epoch, p.partition_epoch) for p in made.partitions} == {(0, 0)}


def test_defaults_come_from_the_broker() -> None:
    settings = BrokerSettings(num_partitions=3, default_replication_factor=1)
    made = controller.create_topic(image(1, 2), NewTopic(name="t"), settings, topic_id=UUID(int=1))
    assert isinstance(made, TopicState)
    assert [len(p.replicas) for p in made.partitions] == [1, 1, 1]


def test_manual_assignments_must_agree_in_length() -> None:
    request = NewTopic(name="t", assignments=((0, (1,)), (1, (3, 2))))
    made = controller.create_topic(image(1, 2, 3), request, BrokerSettings(), topic_id=UUID(int=1))
    assert code(made) is Code.INVALID_REPLICA_ASSIGNMENT
    assert isinstance(made, Refusal) and "not consistent" in made.message


@pytest.mark.parametrize(
    ("request_", "settings"),
    [
        (NewTopic(name="t", replication_factor=2), BrokerSettings()),
        (NewTopic(name="t"), BrokerSettings(default_replication_factor=3)),
        (NewTopic(name="t", assignments=((0, (1, 2)),)), BrokerSettings()),
    ],
    ids=["asked", "default", "assigned"],
)
def test_a_second_replica_is_refused_with_a_sentence(
    request_: NewTopic, settings: BrokerSettings
) -> None:
    """Nothing would ever be copied to it."""
    made = controller.create_topic(image(1, 2, 3), request_, settings, topic_id=UUID(int=1))
    assert isinstance(made, Refusal)
    assert made.code is (
        Code.INVALID_REPLICA_ASSIGNMENT if request_.assignments else Code.INVALID_REPLICATION_FACTOR
    )
    assert "this release keeps one replica of each partition" in made.message


def test_names_that_differ_only_in_dots_and_underscores_collide() -> None:
    made = replace(
        image(1),
        topics=PersistentMap[str, TopicState]().set(
            "a.b_c", TopicState(name="a.b_c", topic_id=UUID(int=1), partitions=())
        ),
    )
    assert code(Names(made).refuse("a_b.c")) is Code.INVALID_TOPIC_EXCEPTION
    assert code(Names(made).refuse("a.b_c")) is Code.TOPIC_ALREADY_EXISTS
    assert Names(made).refuse("abc") is None


ALONE = PartitionState(replicas=(2,), isr=(2,), leader=2, leader_epoch=4, partition_epoch=7)


def test_added_partitions_have_the_topics_replication_factor() -> None:
    three = image(1, 2, 3, partition=ALONE)
    added = controller.create_partitions(three, MorePartitions(name="t", partition_count=4))
    assert not isinstance(added, Refusal)
    assert [len(partition.replicas) for partition in added] == [1, 1, 1]
    wide = MorePartitions(name="t", partition_count=2, assignments=((1, 3),))
    assert code(controller.create_partitions(three, wide)) is Code.INVALID_REPLICA_ASSIGNMENT
    more = MorePartitions(name="t", partition_count=4)
    refused = controller.create_partitions(image(1, 2, 3, partition=LED_BY_2), more)
    assert code(refused) is Code.INVALID_REPLICATION_FACTOR


def test_the_offsets_topic_keeps_its_partitions() -> None:
    topic = TopicState(name=OFFSETS_TOPIC, topic_id=UUID(int=9), partitions=(ALONE,))
    before = replace(image(1, 2, 3), topics=PersistentMap().set(topic.name, topic))
    refused = controller.create_partitions(
        before, MorePartitions(name=OFFSETS_TOPIC, partition_count=4)
    )
    assert code(refused) is Code.INVALID_PARTITIONS


def test_a_folder_name_that_no_file_system_holds_is_refused() -> None:
    def added(characters: int, count: int) -> Code | None:
        topic = TopicState(name="n" * characters, topic_id=UUID(int=9), partitions=(ALONE,))
        before = replace(image(1, 2, 3), topics=PersistentMap().set(topic.name, topic))
        more = MorePartitions(name=topic.name, partition_count=count)
        return code(controller.create_partitions(before, more))

    assert added(249, 100_001) is Code.INVALID_PARTITIONS
    assert added(253, 11) is Code.INVALID_PARTITIONS
    assert added(253, 10) is None
    made = controller.create_topic(
        image(1),
        NewTopic(name="n" * 253, partition_count=11, replication_factor=1),
        BrokerSettings(),
        topic_id=UUID(int=1),
    )
    assert code(made) is Code.INVALID_PARTITIONS


def test_a_preferred_election_moves_back_and_raises_both_epochs() -> None:
    elected = controller.elect_leader(image(1, 2, 3, partition=LED_BY_2), "t", 0, PREFERRED)
    assert elected == replace(LED_BY_2, leader=1, leader_epoch=5, partition_epoch=8)


@pytest.mark.parametrize(
    ("alive", "isr"), [((2, 3), (1, 2)), ((1, 2, 3), (2, 3))], ids=["dead", "out of sync"]
)
def test_a_preferred_leader_must_live_and_be_in_sync(
    alive: tuple[int, ...], isr: tuple[int, ...]
) -> None:
    partition = replace(LED_BY_2, isr=isr)
    elected = controller.elect_leader(image(*alive, partition=partition), "t", 0, PREFERRED)
    assert code(elected) is Code.PREFERRED_LEADER_NOT_AVAILABLE


def test_an_unclean_election_prefers_the_isr_and_else_keeps_only_the_leader() -> None:
    orphan = replace(LED_BY_2, leader=NO_LEADER, isr=(2,))
    clean = controller.elect_leader(image(1, 2, partition=orphan), "t", 0, UNCLEAN)
    assert isinstance(clean, PartitionState) and (clean.leader, clean.isr) == (2, (2,))
    unclean = controller.elect_leader(image(3, partition=orphan), "t", 0, UNCLEAN)
    assert isinstance(unclean, PartitionState) and (unclean.leader, unclean.isr) == (3, (3,))
    nobody = controller.elect_leader(image(4, partition=orphan), "t", 0, UNCLEAN)
    assert code(nobody) is Code.ELIGIBLE_LEADERS_NOT_AVAILABLE
    gone = controller.elect_leader(image(1, partition=ALONE), "t", 0, UNCLEAN)
    assert code(gone) is Code.ELIGIBLE_LEADERS_NOT_AVAILABLE, "its leader is not registered"
    gone = controller.elect_leader(image(1, partition=ALONE), "t", 0, PREFERRED)
    assert code(gone) is Code.PREFERRED_LEADER_NOT_AVAILABLE
    led = controller.elect_leader(image(2, partition=LED_BY_2), "t", 0, UNCLEAN)
    assert code(led) is Code.ELECTION_NOT_NEEDED


def test_a_reassignment_takes_only_replicas_that_are_in_sync() -> None:
    three = image(1, 2, 3, partition=LED_BY_2)
    moved = controller.reassign(three, "t", 0, (1,))
    assert isinstance(moved, PartitionState)
    assert (moved.replicas, moved.isr, moved.leader) == ((1,), (1,), 1)
    assert moved.leader_epoch == 5
    assert code(controller.reassign(three, "t", 0, (1, 2))) is Code.INVALID_REPLICA_ASSIGNMENT
    assert controller.reassign(image(2, partition=ALONE), "t", 0, (2,)) is None
    assert code(controller.reassign(three, "t", 0, (3,))) is Code.INVALID_REPLICA_ASSIGNMENT
    fixed = controller.reassign(three, "t", 0, (1,), any_factor=False)
    assert code(fixed) is Code.INVALID_REPLICATION_FACTOR
