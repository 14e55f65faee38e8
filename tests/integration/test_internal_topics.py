"""The broker's own topics are not written to by clients, and few descriptors do not end it."""

import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from e2e.kafka.headrace import Headrace, executable

OPEN_FILES = 128


def test_a_client_may_not_write_group_offsets(broker: Headrace, group: str) -> None:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    consumer.list_topics(timeout=10)
    consumer.committed([TopicPartition("none", 0)], timeout=10)  # which makes the topic
    consumer.close()
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.timeout.ms": 10_000})
    producer.produce(
        "__consumer_offsets", b"v", b"\x00\x01", on_delivery=lambda error, _: errors.append(error)
    )
    producer.flush(15)
    assert errors[0] is not None
    assert errors[0].code() == KafkaError.TOPIC_EXCEPTION


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")
def test_more_connections_than_descriptors_cost_only_themselves(tmp_path: Path) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))

    command = [str(executable()), "dev", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(
        [*command, "--kafka-port", "0", "--http-port", "0"],
        preexec_fn=few_files,
        stdout=subprocess.PIPE,
        text=True,
    )
    peers: list[socket.socket] = []
    try:
        assert process.stdout is not None
        ready = next(line for line in process.stdout if line.startswith("headrace is ready"))
        host, port = ready.split("kafka://")[1].split()[0].split(":")
        for _ in range(2 * OPEN_FILES):
            peers.append(socket.create_connection((host, int(port)), timeout=10))
        for peer in peers:
            peer.close()
        producer = Producer({"bootstrap.servers": f"{host}:{port}", "message.timeout.ms": 20_000})
        errors: list[KafkaError | None] = []
        producer.produce("after", b"v", on_delivery=lambda error, _: errors.append(error))
        producer.flush(25)
        assert errors == [None]
        process.terminate()
        assert process.wait(20) == 0
    finally:
        for peer in peers:
            peer.close()
        process.kill()
        process.wait()
        process.stdout.close()
