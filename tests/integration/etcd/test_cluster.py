"""Brokers that share a cluster: any of them is asked, and the right one does it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from headrace.base.errors import Code
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.client.errors import ConnectionLost, Incompatible
from headrace.core.resources import BROKER, BROKER_LOGGER, TOPIC
from headrace.wire.records import NewRecord, build_batch
from headrace.wire.versions import (
    ALTER_CLIENT_QUOTAS,
    ALTER_PARTITION_REASSIGNMENTS,
    API_VERSIONS,
    CREATE_PARTITIONS,
    CREATE_TOPICS,
    DELETE_RECORDS,
    DESCRIBE_CLIENT_QUOTAS,
    DESCRIBE_CLUSTER,
    DESCRIBE_CONFIGS,
    DESCRIBE_PRODUCERS,
    ELECT_LEADERS,
    ENVELOPE,
    FETCH,
    FIND_COORDINATOR,
    HEARTBEAT,
    INCREMENTAL_ALTER_CONFIGS,
    LIST_OFFSETS,
    OFFSET_FOR_LEADER_EPOCH,
    PRODUCE,
    UPDATE_FEATURES,
)

from e2e.kafka.process import LOOPBACK
from e2e.rig.etcd import Etcd
from tests.integration.clients import offsets, pairs, produce, read_to_end, until
from tests.integration.conftest import assert_no_bug
from tests.integration.etcd.cluster import (
    IN_TIME,
    NODES,
    RACKS,
    Cluster,
    ClusterBroker,
    alive,
    ask,
    create,
    delete,
    leaders,
    topic,
)

RECORDS = pairs("none", 20)
EVERYWHERE = ([1], [2], [3])
SOFTWARE = {"client_software_name": "a", "client_software_version": "1"}
PLAIN = {"include_cluster_authorized_operations": False, "include_fenced_brokers": False}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for the whole module: nothing here stops a broker that was running."""
    folder = tmp_path_factory.mktemp("cluster")
    with Etcd(folder / "etcd") as etcd:
        made = Cluster(etcd, folder)
        try:
            made.mend()
            yield made
        finally:
            made.kill()
    for broker in made.brokers.values():
        assert_no_bug(broker.output())


@pytest.mark.parametrize("node", NODES)
def test_topics_are_changed_at_any_broker(cluster: Cluster, node: int) -> None:
    """And that broker shows the change as soon as it has answered."""
    broker, name = cluster.brokers[node], f"any{node}"
    assert create(broker, name, 4) is Code.NONE
    assert create(broker, name, 4) is Code.TOPIC_ALREADY_EXISTS
    led = Counter(leaders(broker, name).values())
    assert led.total() == 4 and set(led) == set(NODES) and max(led.values()) == 2
    more = [{"name": name, "count": 6, "assignments": None}]
    assert not ask(broker, CREATE_PARTITIONS, topics=more, **IN_TIME).results[0].error_code
    assert Counter(leaders(broker, name).values()) == dict.fromkeys(NODES, 2)
    two = [{**topic(f"{name}-two"), "replication_factor": 2}]
    refused = ask(broker, CREATE_TOPICS, topics=two, **IN_TIME).topics[0]
    assert refused.error_code == Code.INVALID_REPLICATION_FACTOR
    assert "one replica" in refused.error_message
    moved = {"partition_index": 0, "replicas": [node]}
    told = ask(
        broker,
        ALTER_PARTITION_REASSIGNMENTS,
        topics=[{"name": name, "partitions": [moved, {**moved, "replicas": list(NODES)}]}],
        timeout_ms=20_000,
    ).responses[0]
    assert told.partitions[1].error_code == Code.INVALID_REPLICA_ASSIGNMENT
    both = [{"topic": name, "partitions": [0]}]
    told = ask(broker, ELECT_LEADERS, election_type=0, topic_partitions=both, timeout_ms=20_000)
    result = told.replica_election_results[0].partition_result[0]
    assert result.error_code == Code.ELECTION_NOT_NEEDED
    assert delete(broker, name) is Code.NONE
    assert leaders(broker, name) == {}
    assert delete(broker, name) is Code.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("node", NODES)
def test_settings_are_changed_at_any_broker(cluster: Cluster, node: int) -> None:
    """A broker's own are asked of that broker, and go to the controller as well."""
    broker, name = cluster.brokers[node], f"set{node}"
    assert create(broker, name) is Code.NONE

    def alter(*resources: tuple[int, str, str, str]) -> list[Code]:
        asked = [
            {
                "resource_type": kind,
                "resource_name": which,
                "configs": [{"name": key, "config_operation": 0, "value": value}],
            }
            for kind, which, key, value in resources
        ]
        told = ask(broker, INCREMENTAL_ALTER_CONFIGS, resources=asked, validate_only=False)
        return [Code(int(response.error_code)) for response in told.responses]

    def value(kind: int, which: str, key: str) -> str | None:
        asked = {"resource_type": kind, "resource_name": which, "configuration_keys": [key]}
        told = ask(broker, DESCRIBE_CONFIGS, resources=[asked]).results[0]
        return told.configs[0].value if told.configs else None

    elsewhere = str(node % 3 + 1)
    assert alter(
        (TOPIC, name, "retention.ms", "123456"),
        (BROKER_LOGGER, str(node), "headrace.metadata", "WARN"),
        (BROKER, str(node), "log.retention.ms", f"70000{node}"),
        (BROKER, elsewhere, "log.retention.ms", "1"),
        (TOPIC, "absent", "retention.ms", "1"),
        (BROKER, "", "log.retention.bytes", f"90000{node}"),
    ) == [
        Code.NONE,
        Code.NONE,
        Code.NONE,
        Code.INVALID_REQUEST,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        Code.NONE,
    ]
    assert value(TOPIC, name, "retention.ms") == "123456"
    assert value(BROKER, str(node), "log.retention.ms") == f"70000{node}"
    assert value(BROKER, "", "log.retention.bytes") == f"90000{node}"
    assert alter((BROKER, str(node), "log.retention.ms", "no number")) == [Code.INVALID_REQUEST]


def test_features_are_changed_at_any_broker(cluster: Cluster) -> None:
    update = {"feature": "headrace.format", "max_version_level": 99, "upgrade_type": 1}
    for broker in cluster.brokers.values():
        told = ask(broker, UPDATE_FEATURES, feature_updates=[update], **IN_TIME)
        assert told.error_code not in (Code.NONE, Code.NOT_CONTROLLER), "99 is beyond them"


def test_topics_are_made_when_they_are_asked_for(cluster: Cluster) -> None:
    """Also where the broker that is asked is not the controller."""
    broker = cluster.other()
    led = leaders(broker, "wanted", auto_create=True)
    assert len(led) == 1 and led[0] in NODES
    assert leaders(broker, "wanted") == led


def test_records_of_all_partitions_through_any_broker(cluster: Cluster) -> None:
    assert create(cluster.brokers[1], "spread", 6) is Code.NONE
    assert Counter(leaders(cluster.brokers[2], "spread").values()) == dict.fromkeys(NODES, 2)
    for index in range(6):
        produce(cluster.brokers[index % 3 + 1], "spread", RECORDS, partition=index)
        assert read_to_end(cluster.brokers[(index + 1) % 3 + 1], "spread", index) == RECORDS


@pytest.fixture(scope="module")
def led(cluster: Cluster) -> dict[int, int]:
    """A partition of `led` on each broker, with a record in each; by partition its leader."""
    assert create(cluster.brokers[1], "led", -1, *EVERYWHERE) is Code.NONE
    for index in range(3):
        produce(cluster.brokers[1], "led", RECORDS[:1], partition=index)
    return leaders(cluster.brokers[1], "led")


def _produce(index: int) -> dict[str, Any]:
    batch = build_batch([NewRecord(b"k", b"v", 1)])
    item = {"index": index, "records": batch}
    return {"acks": 1, "timeout_ms": 1, "topic_data": [{"name": "led", "partition_data": [item]}]}


def _fetch(index: int) -> dict[str, Any]:
    item = {"partition": index, "fetch_offset": 0, "partition_max_bytes": 1000}
    topics = [{"topic": "led", "partitions": [item]}]
    return {"max_wait_ms": 0, "min_bytes": 0, "topics": topics, "forgotten_topics_data": []}


def _list_offsets(index: int) -> dict[str, Any]:
    topics = [{"name": "led", "partitions": [{"partition_index": index, "timestamp": -1}]}]
    return {"replica_id": -1, "isolation_level": 0, "topics": topics, "timeout_ms": 1}


def _delete_records(index: int) -> dict[str, Any]:
    item = {"partition_index": index, "offset": 0}
    return {"topics": [{"name": "led", "partitions": [item]}], "timeout_ms": 1}


def _epochs(index: int) -> dict[str, Any]:
    item = {"partition": index, "leader_epoch": 0}
    return {"replica_id": -1, "topics": [{"topic": "led", "partitions": [item]}]}


def _producers(index: int) -> dict[str, Any]:
    return {"topics": [{"name": "led", "partition_indexes": [index]}]}


@pytest.mark.parametrize(
    ("api_key", "version_max", "asked", "answered"),
    [
        (PRODUCE, 12, _produce, lambda a: a.responses[0].partition_responses[0]),
        (FETCH, 12, _fetch, lambda a: a.responses[0].partitions[0]),
        (LIST_OFFSETS, None, _list_offsets, lambda a: a.topics[0].partitions[0]),
        (DELETE_RECORDS, None, _delete_records, lambda a: a.topics[0].partitions[0]),
        (OFFSET_FOR_LEADER_EPOCH, None, _epochs, lambda a: a.topics[0].partitions[0]),
        (DESCRIBE_PRODUCERS, None, _producers, lambda a: a.topics[0].partitions[0]),
    ],
    ids=["produce", "fetch", "list offsets", "delete records", "epochs", "producers"],
)
def test_only_the_leader_serves_a_partition(
    cluster: Cluster,
    led: dict[int, int],
    api_key: int,
    version_max: int | None,
    asked: Callable[[int], dict[str, Any]],
    answered: Callable[[Any], Any],
) -> None:
    for index, leader in led.items():
        for node, broker in cluster.brokers.items():
            told = answered(ask(broker, api_key, version_max=version_max, **asked(index)))
            wanted = Code.NONE if node == leader else Code.NOT_LEADER_OR_FOLLOWER
            assert told.error_code == wanted, (index, leader, node)


def test_each_group_has_one_coordinator_that_all_brokers_name(cluster: Cluster) -> None:
    bootstrap = {"bootstrap.servers": cluster.bootstrap}
    assert create(cluster.brokers[3], "shared", 6) is Code.NONE
    groups = [f"group{n}" for n in range(6)]
    coordinators = set()
    for group in groups:
        named = {
            (found.node_id, found.port)
            for broker in cluster.brokers.values()
            for found in ask(broker, FIND_COORDINATOR, coordinator_keys=[group]).coordinators
        }
        ((node, port),) = named
        assert port == cluster.brokers[node].kafka_port
        coordinators.add(node)
        for other, broker in cluster.brokers.items():
            beat = ask(broker, HEARTBEAT, group_id=group, generation_id=1, member_id="m")
            is_it = Code.UNKNOWN_MEMBER_ID if other == node else Code.NOT_COORDINATOR
            assert beat.error_code == is_it
    assert coordinators == set(NODES), "the offsets topic is spread"
    for n, group in enumerate(groups):
        consumer = Consumer({**bootstrap, "group.id": group})
        consumer.commit(offsets=[TopicPartition("shared", n, n + 1)], asynchronous=False)
        consumer.close()
        where = [TopicPartition("shared", n)]
        assert offsets(cluster.brokers[n % 3 + 1], group, where) == [n + 1]


def test_two_members_share_partitions_of_all_brokers(cluster: Cluster) -> None:
    assert create(cluster.brokers[2], "both", 6) is Code.NONE
    config = {
        "bootstrap.servers": cluster.bootstrap,
        "group.id": "both",
        "auto.offset.reset": "earliest",
    }
    members = [Consumer(config) for _ in range(2)]
    read: set[tuple[int, bytes | None]] = set()
    try:
        for member in members:
            member.subscribe(["both"])

        def shared() -> bool:
            for member in members:
                member.poll(0.02)
            return [len(member.assignment()) for member in members] == [3, 3]

        until(shared, "each has three partitions")
        producer = Producer({"bootstrap.servers": cluster.brokers[1].bootstrap})
        for index in range(6):
            producer.produce("both", value=b"%d" % index, partition=index)
        assert producer.flush(20) == 0

        def everything() -> bool:
            for member in members:
                message = member.poll(0.02)
                if message is not None and message.error() is None:
                    read.add((message.partition(), message.value()))
            return len(read) == 6

        until(everything, "both read all there is")
    finally:
        for member in members:
            member.close()
    assert read == {(index, b"%d" % index) for index in range(6)}


def test_each_listener_names_all_brokers_by_its_own_addresses(cluster: Cluster) -> None:
    for broker in cluster.brokers.values():
        for port, of in ((broker.kafka_port, "kafka_port"), (broker.control_port, "control_port")):
            told = ask(broker, DESCRIBE_CLUSTER, port=port, **PLAIN)
            assert {(b.broker_id, b.port, b.rack) for b in told.brokers} == {
                (node, getattr(one, of), RACKS[node]) for node, one in cluster.brokers.items()
            }
            assert told.controller_id == cluster.controller()
            assert alive(broker, port) == set(NODES)


MUTATIONS = "controller_mutation_rate"


def quota(broker: ClusterBroker, client_id: str, value: float | None) -> None:
    op = {"key": MUTATIONS, "value": value or 0.0, "remove": value is None}
    entry = {"entity": [{"entity_type": "client-id", "entity_name": client_id}], "ops": [op]}
    told = ask(broker, ALTER_CLIENT_QUOTAS, entries=[entry], validate_only=False)
    assert not told.entries[0].error_code


def test_a_quota_is_charged_to_who_asked_and_its_broker_makes_it_wait(cluster: Cluster) -> None:
    broker = cluster.other()
    quota(broker, "limited", 1.0)
    described = ask(broker, DESCRIBE_CLIENT_QUOTAS, components=[], strict=False)
    values = {v.key: v.value for e in described.entries for v in e.values}
    assert values == {MUTATIONS: 1.0}

    def make(name: str, version: int = 7, **how: Any) -> Any:
        return ask(
            broker, CREATE_TOPICS, version_max=version, topics=[topic(name, 30)], **IN_TIME, **how
        )

    assert not make("free", client_id="unlimited").topics[0].error_code
    used_up = make("first", client_id="limited")
    assert not used_up.topics[0].error_code, "the bucket may be overdrawn once"
    refused = make("second", client_id="limited")
    assert refused.topics[0].error_code == Code.THROTTLING_QUOTA_EXCEEDED
    assert refused.throttle_time.total_seconds() > 1
    assert not make("third", client_id="limited", port=broker.control_port).topics[0].error_code
    quota(broker, "limited", None)
    assert not make("fourth", client_id="limited").topics[0].error_code


async def test_a_forwarded_throttle_mutes_the_client(cluster: Cluster) -> None:
    broker = cluster.other()
    await asyncio.to_thread(quota, broker, "muted", 5.0)
    address = Address(LOOPBACK, broker.kafka_port)
    connection = await Connection.open(address, client_id="muted", timeout_ms=10_000)
    try:
        # An old request is not refused: it is done, and waits.
        told = await connection.request(
            CREATE_TOPICS, {"topics": [topic("waits", 65)], **IN_TIME}, version_max=5
        )
        wait_s = told.throttle_time.total_seconds()
        assert not told.topics[0].error_code and 0.5 < wait_s < 5
        began = time.monotonic()
        await connection.request(DESCRIBE_CLUSTER, PLAIN)
        assert time.monotonic() - began > wait_s * 0.8
    finally:
        connection.close()
        await asyncio.to_thread(quota, broker, "muted", None)


def test_brokers_without_a_control_listener_forward_over_the_first_they_share(
    etcd: Etcd, tmp_path: Path
) -> None:
    """There the token alone keeps strangers out."""
    made = Cluster(etcd, tmp_path, (1, 2), control=False)
    try:
        made.mend()
        for node, broker in made.brokers.items():
            assert create(broker, f"made{node}", 4) is Code.NONE
            assert Counter(leaders(broker, f"made{node}").values()) == {1: 2, 2: 2}
        listed = ask(made.brokers[1], API_VERSIONS, **SOFTWARE)
        assert ENVELOPE not in {api.api_key for api in listed.api_keys}
    finally:
        made.kill()


async def test_no_stranger_speaks_for_others(cluster: Cluster) -> None:
    """Envelopes are for brokers: on their listener, and with a token that etcd alone tells."""
    broker = cluster.brokers[cluster.controller()]
    forged = b'{"v":1,"broker":1,"token":"","listener":"CONTROL","principal":"User:admin"}'
    envelope = {
        "request_data": b"",
        "request_principal": forged,
        "client_host_address": b"\x7f\x00\x00\x01",
    }
    on = {}
    for name, port in (("client", broker.kafka_port), ("control", broker.control_port)):
        connection = await Connection.open(
            Address(LOOPBACK, port), client_id="stranger", timeout_ms=10_000
        )
        listed = await connection.request(API_VERSIONS, SOFTWARE)
        on[name] = ENVELOPE in {api.api_key for api in listed.api_keys}
        if name == "client":
            with pytest.raises(Incompatible):
                connection.version(ENVELOPE)
            with pytest.raises(ConnectionLost):
                await connection.await_answer(
                    connection.send(ENVELOPE, 0, envelope), ENVELOPE, 9000
                )
        else:
            told = await connection.request(ENVELOPE, envelope)
            assert told.error_code == Code.CLUSTER_AUTHORIZATION_FAILED
            assert told.response_data is None
        connection.close()
    assert on == {"client": False, "control": True}


def test_new_topics_land_on_a_new_broker(cluster: Cluster) -> None:
    """Last: the others have many partitions by now."""
    fourth = ClusterBroker(cluster.folder, cluster.etcd, 4)
    try:
        fourth.start()
        until(lambda: alive(cluster.brokers[cluster.controller()]) == {*NODES, 4}, "it is known")
        for n in range(3):
            assert create(cluster.brokers[n + 1], f"new{n}") is Code.NONE
            assert leaders(cluster.brokers[n + 1], f"new{n}") == {0: 4}
        produce(cluster.brokers[1], "new0", RECORDS)
        assert read_to_end(fourth, "new0") == RECORDS
    finally:
        fourth.kill()
