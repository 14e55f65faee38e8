"""A broker over a real etcd that is given other addresses while it runs."""

import json
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from e2e.kafka.process import LOOPBACK, free_ports
from e2e.rig.etcd import Etcd
from tests.integration.clients import create_topic, read_to_end, until
from tests.integration.conftest import assert_no_bug
from tests.integration.etcd.test_broker import EtcdBroker, registration, registration_is_newer

KEY = "advertised.listeners"


def set_address(broker: EtcdBroker, text: str | None) -> None:
    """Waits for the answer. Raises KafkaException."""
    how = AlterConfigOpType.SET if text else AlterConfigOpType.DELETE
    entry = ConfigEntry(KEY, text, incremental_operation=how)
    asked = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.incremental_alter_configs([asked])[asked].result(10)


def advertised(port: int) -> list[str]:
    """What a client that asks through this port is told."""
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}"})
    return [f"{node.host}:{node.port}" for node in admin.list_topics(timeout=10).brokers.values()]


def role(etcd: Etcd) -> tuple[int, int]:
    """Which key makes it the controller, and under which lease."""
    (key,) = json.loads(etcd.control("get", "/headrace/tested/controller", "-w=json"))["kvs"]
    return key["create_revision"], key["lease"]


def test_other_addresses_while_it_serves(etcd: Etcd, tmp_path: Path) -> None:
    inner, outer = free_ports(2)
    inside = f"PLAINTEXT://{LOOPBACK}:{inner}"
    settings = {"listeners": f"{inside},OUT://{LOOPBACK}:{outer}", KEY: inside}
    with EtcdBroker(tmp_path / "data", etcd, settings, inner) as broker:
        pid = broker.pid
        create_topic(broker, "t")
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("t", b"before", b"k")
        assert producer.flush(10) == 0
        epoch, value = registration(etcd)
        assert value["endpoints"] == [["PLAINTEXT", LOOPBACK, inner]]
        held = role(etcd)

        set_address(broker, f"{inside},OUT://lb.example:9094")
        until(lambda: registration_is_newer(etcd, epoch), "it registers anew")
        newer, value = registration(etcd)
        assert value["endpoints"] == [["PLAINTEXT", LOOPBACK, inner], ["OUT", "lb.example", 9094]]
        assert (value["continues"], role(etcd)) == (epoch, held)
        until(lambda: advertised(outer) == ["lb.example:9094"], "clients are told")
        producer.produce("t", b"after", b"k")
        assert producer.flush(10) == 0
        create_topic(broker, "more")

        with pytest.raises(KafkaException, match="no such listener; listeners has PLAINTEXT, OUT"):
            set_address(broker, f"{inside},AWAY://h:1")
        assert (registration(etcd)[0], broker.pid) == (newer, pid)

        broker.stop()
        broker.start()
        assert advertised(outer) == ["lb.example:9094"], "also after a restart"
        assert read_to_end(broker, "t") == [(b"k", b"before"), (b"k", b"after")]
        set_address(broker, None)
        until(lambda: advertised(outer) == [], "back to the file: it is not advertised there")
    assert_no_bug(broker.output())
