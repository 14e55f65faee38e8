"""Seen from outside: metrics as dashboards read them, lag, health, log levels, JSON logs."""

import json
import re
import socket
import struct
import urllib.error
import urllib.request

import pytest
from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from e2e.kafka.headrace import Headrace
from tests.integration.clients import create_topic, pairs, produce, until
from tests.integration.conftest import MakeBroker
from tests.integration.peers import Peer, framed, header

Sample = tuple[str, frozenset[tuple[str, str]]]


def http(broker: Headrace, path: str, method: str = "GET") -> tuple[int, str]:
    asked = urllib.request.Request(f"http://127.0.0.1:{broker.http_port}{path}", method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def scrape(broker: Headrace) -> dict[Sample, float]:
    """Every sample, as Prometheus' own parser reads the page; none stands there twice."""
    status, page = http(broker, "/metrics")
    assert status == 200
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(page):
        assert family.documentation, family.name
        for sample in family.samples:
            place = (sample.name, frozenset(sample.labels.items()))
            assert place not in found, place
            found[place] = sample.value
    return found


def of(found: dict[Sample, float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_broker_and_topic_metrics(broker: Headrace, topic: str) -> None:
    create_topic(broker, topic, 2)
    before = scrape(broker)
    produce(broker, topic, pairs("none", 70), partition=1)
    after = scrape(broker)
    broker_wide = {
        "kafka_controller_kafkacontroller_activecontrollercount": 1,
        "kafka_controller_kafkacontroller_offlinepartitionscount": 0,
        "kafka_server_replicamanager_underreplicatedpartitions": 0,
        "kafka_server_replicamanager_underminisrpartitioncount": 0,
        "kafka_log_logmanager_offlinelogdirectorycount": 0,
        "kafka_brokers": 1,
    }
    assert {name: of(after, name) for name in broker_wide} == broker_wide
    held = of(after, "kafka_server_replicamanager_partitioncount")
    assert held == of(after, "kafka_server_replicamanager_leadercount") >= 2
    size = sum(f.stat().st_size for f in (broker.data_dir / f"{topic}-1").glob("*.log"))
    one = {"topic": topic, "partition": "1"}
    assert of(after, "kafka_log_log_size", **one) == size
    assert of(after, "kafka_log_log_logendoffset", **one) == 70
    assert of(after, "kafka_topic_partition_current_offset", **one) == 70
    assert of(after, "kafka_topic_partition_oldest_offset", **one) == 0
    assert of(after, "kafka_topic_partition_in_sync_replica", **one) == 1
    assert of(after, "kafka_topic_partitions", topic=topic) == 2
    family = "kafka_server_brokertopicmetrics"
    assert of(after, f"{family}_messagesin_total", topic=topic) == 70
    assert of(after, f"{family}_bytesin_total", topic=topic) == size
    for name in ("messagesin", "bytesin", "totalproducerequests"):
        total = f"{family}_{name}_total"
        assert of(after, total) > of(before, total), "the aggregate without a label"
    counted = "kafka_network_requestmetrics_requests_total"
    assert of(after, counted, request="Produce") > of(before, counted, request="Produce")
    assert of(after, "process_resident_memory_bytes") > 10_000_000
    assert of(after, "process_cpu_seconds_total") >= of(before, "process_cpu_seconds_total")


def test_lag_in_records_and_seconds(broker: Headrace, topic: str, group: str) -> None:
    create_topic(broker, topic)
    produce(broker, topic, pairs("none", 50))
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 20)], asynchronous=False)
    place = {"consumergroup": group, "topic": topic, "partition": "0"}
    found = scrape(broker)
    assert of(found, "kafka_consumergroup_current_offset", **place) == 20
    assert of(found, "kafka_consumergroup_lag", **place) == 30
    assert of(found, "kafka_consumergroup_lag_sum", consumergroup=group, topic=topic) == 30
    seconds = {"group": group, "topic": topic, "partition": "0"}
    until(
        lambda: of(scrape(broker), "kafka_consumergroup_group_lag_seconds", **seconds) > 0,
        "the oldest unread record grows old",
    )
    consumer.commit(offsets=[TopicPartition(topic, 0, 50)], asynchronous=False)
    consumer.close()
    found = scrape(broker)
    assert of(found, "kafka_consumergroup_lag", **place) == 0
    assert of(found, "kafka_consumergroup_group_lag_seconds", **seconds) == 0


def test_health_and_unknown_pages(broker: Headrace) -> None:
    assert http(broker, "/healthz") == (200, "ok\n")
    assert http(broker, "/readyz") == (200, "ready\n")
    assert http(broker, "/nothing")[0] == 404
    assert "/metrics" in http(broker, "/")[1]
    assert http(broker, "/metrics", "HEAD") == (200, "")
    assert http(broker, "/metrics", "DELETE")[0] == 405


def test_a_reader_that_goes_in_the_middle_is_no_bug(make_broker: MakeBroker) -> None:
    broker = make_broker()
    create_topic(broker, "wide", 400)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", broker.http_port), timeout=10) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
            assert peer.recv(1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert http(broker, "/healthz") == (200, "ok\n")
    broker.stop()
    assert "Traceback" not in broker.output()


def events(said: str) -> list[dict[str, object]]:
    """Every line but the ready line is one JSON object with the keys that logs are read by."""
    found = []
    for line in said.splitlines():
        if line.startswith("headrace is ready: "):
            continue
        event = json.loads(line)
        assert {"@timestamp", "level", "event", "logger"} <= event.keys(), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", event["@timestamp"])
        found.append(event)
    return found


def offend(broker: Headrace) -> None:
    """A peer that is closed for its fault: one line at INFO."""
    peer = Peer(broker)
    peer.send(framed(header(999, 0)))
    assert peer.answer() is None
    peer.close()


def test_logs_are_json_and_their_level_changes_while_it_runs(make_broker: MakeBroker) -> None:
    broker = make_broker()

    def told() -> int:
        return sum(e["event"] == "connection closed" for e in events(broker.output()))

    offend(broker)
    until(lambda: told() == 1, "one line")
    status, said = http(broker, "/loglevel")
    assert (status, json.loads(said)["root"]) == (200, "INFO")
    assert http(broker, "/loglevel?level=warn", "PUT") == (200, "root WARN\n")
    offend(broker)
    assert http(broker, "/loglevel?level=info&logger=headrace.listener", "PUT")[0] == 200
    offend(broker)
    until(lambda: told() == 2, "the second was not told of, the third was")
    assert http(broker, "/loglevel?level=loud", "PUT")[0] == 400
    assert http(broker, "/loglevel?level=INFO&logger=nobody", "PUT")[0] == 400
    assert json.loads(http(broker, "/loglevel")[1])["root"] == "WARN"


@pytest.mark.parametrize("level", ["ERROR", "INFO"])
def test_the_level_from_the_start(make_broker: MakeBroker, level: str) -> None:
    broker = make_broker({"logging.level": level})
    offend(broker)
    broker.stop()
    told = [e for e in events(broker.output()) if e["event"] == "connection closed"]
    assert len(told) == (1 if level == "INFO" else 0)
