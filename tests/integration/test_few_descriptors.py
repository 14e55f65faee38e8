"""No client can take the descriptors that the logs need: a low limit refuses, and ends nothing."""

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from headrace.wire import messages
from headrace.wire.versions import FETCH, METADATA

from e2e.kafka.headrace import executable
from tests.integration.clients import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")


class Few:
    """A broker with few descriptors."""

    def __init__(self, data: Path, limit: int) -> None:
        def few_files() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        command = [str(executable()), "dev", "--data-dir", str(data)]
        self.process = subprocess.Popen(
            [*command, "--kafka-port", "0", "--http-port", "0"],
            preexec_fn=few_files,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = []
        self.bootstrap = ""
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("headrace is ready"):
                self.bootstrap = line.split("kafka://")[1].split()[0]
                break

    def connect(self) -> socket.socket:
        host, port = self.bootstrap.split(":")
        return socket.create_connection((host, int(port)), timeout=20)

    def produce(self, topic: str, value: bytes = b"v", count: int = 1) -> None:
        errors: list[KafkaError | None] = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "message.timeout.ms": 20_000})
        for _ in range(count):
            producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error))
        producer.flush(25)
        assert errors == [None] * count

    def stop(self) -> None:
        assert self.process.stdout is not None
        self.process.terminate()
        self.process.stdout.read()
        assert self.process.wait(20) == 0


@contextmanager
def few(data: Path, limit: int) -> Iterator[Few]:
    broker = Few(data, limit)
    try:
        yield broker
    finally:
        broker.process.kill()
        broker.process.wait()
        assert broker.process.stdout is not None
        broker.process.stdout.close()


def create(broker: Few, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(20)


def ask(broker: Few, key: int, version: int, request: dict[str, object]) -> bytes:
    with broker.connect() as peer:
        peer.sendall(messages.write_request(key, version, 1, "test", request))
        return received(peer)


def received(peer: socket.socket) -> bytes:
    stream = peer.makefile("rb")
    return stream.read(int.from_bytes(stream.read(4), "big"))


def test_a_topic_with_more_partitions_than_descriptors_is_refused(tmp_path: Path) -> None:
    with few(tmp_path / "data", 300) as broker:
        with pytest.raises(KafkaException) as refused:
            create(broker, "large", 400)
        assert refused.value.args[0].code() == KafkaError.POLICY_VIOLATION
        assert "limit of open files" in refused.value.args[0].str()
        create(broker, "small", 100)
        broker.produce("small")
        broker.stop()
    with few(tmp_path / "data", 150) as broker:
        assert broker.process.wait(20) == 1
        assert "raise it (ulimit -n" in broker.said[-1]
    with few(tmp_path / "data", 300) as broker:
        broker.produce("small")
        broker.stop()


def test_topics_made_on_first_use_stop_where_descriptors_do(tmp_path: Path) -> None:
    with few(tmp_path / "data", 200) as broker:
        topics = [{"name": f"t{number}"} for number in range(300)]
        request = {"topics": topics, "allow_auto_topic_creation": True}
        answer = messages.read_response(METADATA, 4, memoryview(ask(broker, METADATA, 4, request)))
        codes = [topic.error_code for topic in answer.topics]
        assert codes == [0] * 100 + [KafkaError.POLICY_VIOLATION] * 200
        broker.produce("t99")
        broker.stop()


def test_slow_readers_take_none_from_logs(tmp_path: Path) -> None:
    with few(tmp_path / "data", 128) as broker:
        broker.produce("large", b"v" * 900_000, count=12)
        partition = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 50_000_000}
        request = {
            "replica_id": -1, "max_wait_ms": 0, "min_bytes": 1, "max_bytes": 50_000_000,
            "isolation_level": 0, "topics": [{"topic": "large", "partitions": [partition]}],
        }  # fmt: skip
        frame = messages.write_request(FETCH, 4, 1, "test", request)
        peers = [broker.connect() for _ in range(95)]
        for peer in peers:
            try:
                peer.sendall(frame)
                peer.recv(1, socket.MSG_PEEK)  # Its answer has begun; it does not read on.
            except ConnectionError:
                pass  # It was refused, or cut as it would wait.
        for peer in peers[:50]:
            peer.close()
        files = Path(f"/proc/{broker.process.pid}/fd")
        until(lambda: len(list(files.iterdir())) < 90, "there is room for us to ask")
        create(broker, "after", 10)
        broker.produce("after")
        for peer in peers:
            peer.close()
        broker.stop()
