"""Lag of a group in a cluster: its coordinator shows it for partitions that others lead as well."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.wire.versions import FIND_COORDINATOR
from prometheus_client.parser import text_string_to_metric_families

from e2e.kafka.process import LOOPBACK
from e2e.rig.etcd import Etcd
from tests.integration.clients import until
from tests.integration.conftest import assert_no_bug
from tests.integration.etcd.test_broker import EtcdBroker

PARTITIONS = 4
PATIENT = {"broker.session.timeout.ms": "30000"}
"""A busy machine is no reason for a registration to end here."""


@pytest.fixture
def brokers(etcd: Etcd, tmp_path: Path) -> Iterator[list[EtcdBroker]]:
    """Two that share a cluster."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(EtcdBroker(tmp_path / f"{n}", etcd, {"node.id": f"{n}"} | PATIENT))
            for n in (1, 2)
        ]
        for broker in found:
            until(
                lambda broker=broker: "\nkafka_brokers 2\n" in broker.page("/metrics")[1],
                "each knows both",
            )
        yield found
    for broker in found:
        assert_no_bug(broker.output())


async def finds_coordinator(broker: EtcdBroker) -> bool:
    """Whether it knows who coordinates; the first that is asked makes the offsets topic."""
    address = Address(LOOPBACK, broker.kafka_port)
    connection = await Connection.open(address, client_id="test", timeout_ms=10_000)
    asked = {"key": "g", "key_type": 0}
    answer = await connection.request(FIND_COORDINATOR, asked, version_max=3)
    connection.close()
    return bool(answer.error_code == 0)


def lags(broker: EtcdBroker) -> dict[str, float]:
    """By partition, as the broker's page says now."""
    return {
        sample.labels["partition"]: sample.value
        for family in text_string_to_metric_families(broker.page("/metrics")[1])
        for sample in family.samples
        if sample.name == "kafka_consumergroup_lag"
    }


def test_lag_of_partitions_that_are_led_elsewhere(brokers: list[EtcdBroker]) -> None:
    bootstrap = {"bootstrap.servers": ",".join(broker.bootstrap for broker in brokers)}
    admin = AdminClient(bootstrap)
    admin.create_topics([NewTopic("t", PARTITIONS, 1)])["t"].result(20)
    led = admin.list_topics("t", timeout=10).topics["t"].partitions
    assert {partition.leader for partition in led.values()} == {1, 2}
    producer = Producer(bootstrap)
    for index in range(PARTITIONS):
        for _ in range(10 + index):
            producer.produce("t", b"v", partition=index)
    assert producer.flush(20) == 0
    until(
        lambda: sum(asyncio.run(finds_coordinator(broker)) for broker in brokers) == 2,
        "each knows the coordinator",
    )
    consumer = Consumer({**bootstrap, "group.id": "g"})
    at = [TopicPartition("t", index, 1) for index in range(PARTITIONS)]
    consumer.commit(offsets=at, asynchronous=False)
    consumer.close()
    (coordinator,) = (broker for broker in brokers if '"g"' in broker.page("/metrics")[1])
    wanted = {str(index): 9.0 + index for index in range(PARTITIONS)}
    until(lambda: lags(coordinator) == wanted, "every partition has its lag")
    (other,) = (broker for broker in brokers if broker is not coordinator)
    assert lags(other) == {}, "a group is shown once"
