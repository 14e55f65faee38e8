"""kill -9 and SIGTERM: what was acknowledged is there, what was begun goes on."""

import threading
import time
import urllib.request

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from e2e.kafka.headrace import Headrace
from tests.integration.conftest import Start

ROUNDS = 2
RECORDS_BEFORE_KILL = 3000
DEADLINE_S = 60.0


class Acknowledged:
    """A producer in a thread; what it was told is stored, by partition and offset. Mutable."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.values: dict[tuple[int, int], bytes] = {}
        self.unexpected: list[str] = []
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "message.timeout.ms": 60_000,
                "log_level": 0,
            }
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            value = b"%d " % number + b"x" * (number % 300)
            self._producer.produce(self._topic, value, on_delivery=self._delivered)
            number += 1
            self._producer.poll(0)
            if len(self._producer) > 2000:
                self._producer.poll(0.01)

    def _delivered(self, error: object, message: Message) -> None:
        if error is not None:
            self.unexpected.append(str(error))
        else:
            self.values[message.partition(), message.offset()] = message.value()

    def wait_for(self, count: int) -> None:
        """Until so many records more are acknowledged."""
        target, limit = len(self.values) + count, time.monotonic() + DEADLINE_S
        while len(self.values) < target:
            assert time.monotonic() < limit, f"only {len(self.values)} of {target} acknowledged"
            time.sleep(0.002)

    def stop(self) -> None:
        """Stop producing and wait for the answers that are still due."""
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(DEADLINE_S) == 0


def read_back(bootstrap: str, topic: str) -> dict[tuple[int, int], bytes]:
    """Every record of both partitions."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "log_level": 0})
    found: dict[tuple[int, int], bytes] = {}
    for partition in (0, 1):
        place = TopicPartition(topic, partition, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([place])
        seen, limit = 0, time.monotonic() + DEADLINE_S
        while seen < end:
            assert time.monotonic() < limit
            for message in consumer.consume(1000, 1.0):
                assert message.error() is None, message.error()
                found[partition, message.offset()] = message.value()
                seen = message.offset() + 1
    consumer.close()
    return found


def create(broker: Headrace, name: str) -> None:
    """A topic of one partition."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for made in admin.create_topics([NewTopic(name, 1, 1)]).values():
        made.result(20)


@pytest.mark.parametrize("durability", ["never", "interval", "ack"])
def test_kill_loses_nothing_that_was_acknowledged(start: Start, name: str, durability: str) -> None:
    broker = start({"durability": durability, "num.partitions": "2"})
    writer = Acknowledged(broker.bootstrap, name)
    try:
        for _ in range(ROUNDS):
            writer.wait_for(RECORDS_BEFORE_KILL)
            broker.kill()
            broker.start()
        writer.wait_for(RECORDS_BEFORE_KILL)
        broker.kill()
        broker.start()
    finally:
        writer.stop()
    assert not writer.unexpected
    found = read_back(broker.bootstrap, name)
    lost = {place for place, value in writer.values.items() if found.get(place) != value}
    assert not lost
    # The producer is idempotent: what it sent again after a kill is there once.
    assert len(found) == len(writer.values) == len(set(found.values()))


def test_idempotence_across_a_restart(start: Start, name: str) -> None:
    broker = start()
    create(broker, name)
    failed: list[object] = []
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "log_level": 0}
    )

    def send(first: int, last: int) -> None:
        for number in range(first, last):
            producer.produce(
                name, b"%d" % number, on_delivery=lambda e, m: failed.append(e) if e else None
            )
        assert producer.flush(DEADLINE_S) == 0

    send(0, 100)
    broker.stop()
    broker.start()
    send(100, 200)
    broker.kill()
    broker.start()
    send(200, 300)
    assert not failed
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": name, "log_level": 0})
    consumer.assign([TopicPartition(name, 0, 0)])
    came = consumer.consume(300, DEADLINE_S)
    consumer.close()
    assert [m.value() for m in came] == [b"%d" % i for i in range(300)]


def test_committed_offsets_and_settings_survive_a_kill(start: Start, name: str) -> None:
    broker = start()
    create(broker, name)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": name, "log_level": 0})
    for offset in (1, 7, 42):
        consumer.commit(offsets=[TopicPartition(name, 0, offset)], asynchronous=False)
    broker.kill()
    broker.start()
    (committed,) = consumer.committed([TopicPartition(name, 0)], timeout=30)
    assert committed.offset == 42
    consumer.close()


def ready(broker: Headrace) -> int:
    url = f"http://127.0.0.1:{broker.http_port}/readyz"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(answer.status)


def test_sigterm_stops_cleanly(start: Start, name: str) -> None:
    broker = start()
    writer = Acknowledged(broker.bootstrap, name)
    writer.wait_for(500)
    assert ready(broker) == 200
    broker.stop()  # sends SIGTERM and fails unless the broker ends by itself with 0
    assert (broker.data_dir / ".kafka_cleanshutdown").exists()
    broker.start()
    writer.stop()
    assert not writer.unexpected
    assert "recover" not in broker.output().lower() or ready(broker) == 200
