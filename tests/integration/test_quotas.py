"""Quotas as real clients meet them, and a rude one that is none."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from headrace.wire import messages
from headrace.wire.records import NewRecord, build_batch
from headrace.wire.versions import METADATA, PRODUCE

from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import missing
from e2e.kafka.tools import run_tool
from tests.command_line import run
from tests.integration.clients import DEADLINE_S, create_topic, until
from tests.integration.conftest import MakeBroker
from tests.integration.peers import PRODUCE_VERSION, Peer

LIMIT = 1_000_000
RECORD = bytes(10_000)
MEASURED_S = 30.0
needs_java = pytest.mark.skipif(missing() is not None, reason=missing() or "")


def quota(broker: Headrace, *arguments: str) -> dict[str, object]:
    done = run("quota", *arguments, "-o", "json", "-b", broker.bootstrap)
    assert done.code == 0, done
    answer: dict[str, object] = json.loads(done.out)
    return answer


class Sender:
    """librdkafka that sends as fast as it may; `acknowledged` are (time, bytes)."""

    def __init__(self, broker: Headrace, topic: str, client_id: str) -> None:
        self.acknowledged: list[tuple[float, int]] = []
        self.throttled_s = 0.0
        self._topic = topic
        self._ends = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "client.id": client_id,
                "acks": "1",
                "linger.ms": 5,
                "batch.size": 100_000,
                "queue.buffering.max.kbytes": 20_000,
                "throttle_cb": self._throttled,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run)

    def _throttled(self, event: object) -> None:
        self.throttled_s += event.throttle_time  # type: ignore[attr-defined]

    def _told(self, error: object, message: object) -> None:
        if error is None:
            self.acknowledged.append((time.monotonic(), len(RECORD)))

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                self._producer.produce(self._topic, RECORD, partition=0, on_delivery=self._told)
            except BufferError:
                self._producer.poll(0.05)
            self._producer.poll(0)

    @contextmanager
    def running(self) -> Iterator["Sender"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._ends.set()
            self._thread.join(DEADLINE_S)
            self._producer.purge()
            self._producer.flush(DEADLINE_S)

    def rate(self, begin: float, end: float) -> float:
        """Bytes a second that were acknowledged in between."""
        sent = sum(size for at, size in self.acknowledged if begin <= at < end)
        return sent / (end - begin)


class Reader:
    """librdkafka that reads a partition over and over; `read` are (time, bytes)."""

    def __init__(self, broker: Headrace, topic: str, client_id: str) -> None:
        self.read: list[tuple[float, int]] = []
        self._ends = threading.Event()
        self._where = TopicPartition(topic, 0, 0)
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "client.id": client_id,
                "group.id": "nobody",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._consumer.assign([self._where])
        while not self._ends.is_set():
            messages = self._consumer.consume(100, 0.05)
            at = time.monotonic()
            self.read += [(at, len(m.value() or b"")) for m in messages if m.error() is None]

    @contextmanager
    def running(self) -> Iterator["Reader"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._ends.set()
            self._thread.join(DEADLINE_S)
            self._consumer.close()

    def rate(self, begin: float, end: float) -> float:
        return sum(size for at, size in self.read if begin <= at < end) / (end - begin)


def first(times: list[tuple[float, int]]) -> float:
    return until(lambda: times and times[0][0], "something to measure")


def let_pass(seconds: float) -> float:
    """Wait for real time, which is what is measured here. Returns the moment."""
    time.sleep(seconds)
    return time.monotonic()


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_limited_clients_stay_within_5_percent_over_30_s_beside_one_at_full_speed(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker()
    for name in ("limited", "free", "read"):
        create_topic(broker, name, config={"retention.bytes": "200000000"})
    with Sender(broker, "read", "loader").running() as loader:
        until(lambda: len(loader.acknowledged) * len(RECORD) > 60_000_000, "60 MB to read")
    quota(broker, "set", "--client-id", "limited", f"producer_byte_rate={LIMIT}")
    quota(broker, "set", "--client-id", "reader", f"consumer_byte_rate={LIMIT}")
    with (
        Sender(broker, "free", "free").running() as free,
        Sender(broker, "limited", "limited").running() as limited,
        Reader(broker, "read", "reader").running() as reader,
    ):
        sent_from, read_from = first(limited.acknowledged), first(reader.read)
        let_pass(MEASURED_S + max(sent_from, read_from) - time.monotonic())
    rates = {
        "limited": limited.rate(sent_from, sent_from + MEASURED_S),
        "reader": reader.rate(read_from, read_from + MEASURED_S),
        "free": free.rate(sent_from, sent_from + MEASURED_S),
    }
    print({name: round(rate / 1e6, 3) for name, rate in rates.items()}, "MB/s")
    assert rates["limited"] == pytest.approx(LIMIT, rel=0.05), rates
    assert rates["reader"] == pytest.approx(LIMIT, rel=0.05), rates
    assert rates["free"] > 5 * LIMIT, rates
    assert limited.throttled_s > 0 and not free.throttled_s


def test_a_limit_applies_live_and_the_more_specific_one_counts(make_broker: MakeBroker) -> None:
    broker = make_broker()
    create_topic(broker, "t")

    def acknowledged_in(seconds: float) -> float:
        begin = time.monotonic()
        return sender.rate(begin, let_pass(seconds))

    with Sender(broker, "t", "app").running() as sender:
        first(sender.acknowledged)
        quota(broker, "set", "--client-id-default", "producer_byte_rate=100000")
        until(lambda: acknowledged_in(0.5) < 300_000, "the default limits it")
        quota(broker, "set", "--client-id", "app", "producer_byte_rate=2000000")
        until(lambda: acknowledged_in(0.5) > 1_000_000, "its own limit counts instead")
        quota(broker, "set", "--user", "ANONYMOUS", "producer_byte_rate=200000")
        until(lambda: acknowledged_in(0.5) < 500_000, "the user's limit counts before it")
        quota(broker, "reset", "--user", "ANONYMOUS")
        quota(broker, "reset", "--client-id", "app")
        quota(broker, "reset", "--client-id-default")
        until(lambda: acknowledged_in(0.5) > 4_000_000, "nothing limits it")


@needs_java
@pytest.mark.timeout(120)
def test_kafkas_own_tool_sets_and_shows_quotas(make_broker: MakeBroker) -> None:
    broker = make_broker()

    def configs(*arguments: str) -> str:
        tool = "kafka.admin.ConfigCommand"
        return run_tool(tool, "--bootstrap-server", broker.bootstrap, *arguments).stdout

    app = ("--entity-type", "clients", "--entity-name", "app")
    configs("--alter", *app, "--add-config", "producer_byte_rate=1024,request_percentage=0.5")
    configs("--alter", "--entity-type", "users", "--entity-default", *app,
            "--add-config", "consumer_byte_rate=2048")  # fmt: skip
    shown = configs("--describe", *app)
    assert "Quota configs for client-id 'app' are" in shown
    assert "producer_byte_rate=1024.0" in shown
    assert quota(broker, "list")["quotas"] == [
        {
            "entity": {"client-id": "app"},
            "values": {"producer_byte_rate": 1024.0, "request_percentage": 0.5},
        },
        {
            "entity": {"user": None, "client-id": "app"},
            "values": {"consumer_byte_rate": 2048.0},
        },
    ]
    configs("--alter", *app, "--delete-config", "producer_byte_rate")
    assert "producer_byte_rate" not in configs("--describe", *app)


def test_a_rude_client_is_slowed_to_its_limit(make_broker: MakeBroker) -> None:
    """It sends without reading, from several connections, and without a client id."""
    broker = make_broker()
    create_topic(broker, "t")
    quota(broker, "set", "--client-id-default", "producer_byte_rate=1000000")
    batch = bytes(build_batch([NewRecord(None, bytes(50_000), 1_750_000_000_000)]))
    data = [{"name": "t", "partition_data": [{"index": 0, "records": batch}]}]
    fields = {"transactional_id": None, "acks": 1, "timeout_ms": 5000, "topic_data": data}
    frame = messages.write_request(PRODUCE, PRODUCE_VERSION, 7, None, fields)
    peers = [Peer(broker) for _ in range(3)]
    began = time.monotonic()
    senders = [threading.Thread(target=peer.send, args=(frame * 20,)) for peer in peers]
    for sender in senders:
        sender.start()
    for peer in peers:
        assert all(peer.answer() is not None for _ in range(20))
    took_s = time.monotonic() - began
    for sender in senders:
        sender.join(DEADLINE_S)
    for peer in peers:
        peer.close()
    assert took_s > (3 * 20 * 50_000 - 500_000) / 1e6 - 0.3, "3 MB at 1 MB/s, half a second ahead"


def test_connections_beyond_the_rate_are_left_unread_and_closed(make_broker: MakeBroker) -> None:
    broker = make_broker()
    quota(broker, "set", "--ip-default", "connection_creation_rate=2")
    asked = {"topics": [], "allow_auto_topic_creation": False}
    frame = messages.write_request(METADATA, 4, 1, None, asked)

    def connects() -> bool:
        peer = Peer(broker)
        try:
            peer.send(frame)
            return peer.answer() is not None
        finally:
            peer.close()

    began = time.monotonic()  # Tokens come from now on, also while the first ones connect.
    assert [connects() for _ in range(20)].count(True) == 20, "ten seconds' worth at once"
    taken = [connects()]
    while taken.count(True) < 4:
        taken.append(connects())
    assert time.monotonic() - began > 1.4, "two a second"
    assert len(taken) < 20, "who is refused is left unread for a while"
