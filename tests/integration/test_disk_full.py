"""A disk that fills: writes are refused, reads and deletes go on, writing resumes by itself."""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from e2e.kafka.headrace import Headrace

DISK_MIB = 64
VALUE = os.urandom(100_000)
DEADLINE_S = 30.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, which needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small file system (root): {mounted.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(bootstrap: str, topic: str) -> tuple[int, KafkaError]:
    """Produce until a delivery fails; how many were acknowledged, and the error."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "message.timeout.ms": 2000, "retries": 2, "linger.ms": 0}
    )
    acknowledged, errors = 0, []

    def delivered(error: KafkaError | None, _: object) -> None:
        nonlocal acknowledged
        if error is None:
            acknowledged += 1
        else:
            errors.append(error)

    for _ in range(2 * DISK_MIB * 1_000_000 // len(VALUE)):
        producer.produce(topic, VALUE, on_delivery=delivered)
        producer.flush(10)
        if errors:
            return acknowledged, errors[0]
    raise AssertionError("the disk never filled")


def read_all(bootstrap: str, topic: str) -> int:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reader", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    count, deadline = 0, time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            error = message.error()
            if error is None:
                assert message.value() == VALUE
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                return count
            else:
                raise KafkaException(error)
        raise AssertionError("the end of the topic was not reached in time")
    finally:
        consumer.close()


def test_a_full_disk_refuses_writes_and_gives_everything_else(small_disk: Path) -> None:
    with Headrace(small_disk / "data", settings={"disk.full.retry.ms": "200"}) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        for future in admin.create_topics([NewTopic("big", 1), NewTopic("kept", 1)]).values():
            future.result(DEADLINE_S)
        acknowledged, _ = fill(broker.bootstrap, "big")
        assert acknowledged > 100
        assert read_all(broker.bootstrap, "big") >= acknowledged, "reads go on"
        with urllib.request.urlopen(f"http://127.0.0.1:{broker.http_port}/metrics") as page:
            assert b'error="KAFKA_STORAGE_ERROR"' in page.read(), "refusals are counted by name"

        for future in admin.delete_topics(["big"]).values():
            future.result(DEADLINE_S)

        deadline = time.monotonic() + DEADLINE_S
        producer = Producer({"bootstrap.servers": broker.bootstrap, "message.timeout.ms": 20_000})
        producer.produce("kept", VALUE)
        assert producer.flush(20) == 0, "writing resumes by itself"
        assert time.monotonic() < deadline
        assert read_all(broker.bootstrap, "kept") == 1
