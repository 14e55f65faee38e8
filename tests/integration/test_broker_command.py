"""`headrace broker --config FILE`, the form for production, as a process of its own."""

import json
import resource
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from e2e.kafka.headrace import executable
from tests.integration.clients import DEADLINE_S

SOFT_FILES = 256

Addresses = tuple[str, str]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Started by its file alone, with few files allowed unless it asks for more."""
    file = tmp_path / "broker.properties"
    file.write_text(
        f"# a comment\nlog.dirs={tmp_path / 'data'}\nlisteners=PLAINTEXT://127.0.0.1:0\n"
        "http.host=127.0.0.1\nhttp.port=0\nnum.partitions=3\n"
    )

    def few_files() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT_FILES, hard))

    started = subprocess.Popen(
        [str(executable()), "broker", "--config", str(file)],
        preexec_fn=few_files,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def addresses(process: subprocess.Popen[str]) -> Addresses:
    """Where its log says that Kafka and HTTP are; every line of it is JSON."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "the broker is ready":
            kafka, http = event["addresses"]
            return kafka.removeprefix("kafka://"), http
    raise AssertionError("it ended before it was ready")


def test_it_serves_with_the_files_settings_and_stops_cleanly(
    tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    bootstrap, _ = addresses(process)
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce("t", b"value", partition=2)
    assert producer.flush(DEADLINE_S) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g"})
    assert len(consumer.list_topics("t", timeout=DEADLINE_S).topics["t"].partitions) == 3
    consumer.assign([TopicPartition("t", 2, 0)])
    message = consumer.poll(DEADLINE_S)
    assert message is not None and message.value() == b"value"
    consumer.close()
    process.terminate()
    assert process.wait(DEADLINE_S) == 0
    assert (tmp_path / "data" / "t-2").is_dir()
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()


def test_it_takes_all_the_open_files_that_the_system_allows(
    process: subprocess.Popen[str],
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > SOFT_FILES, "nothing could be raised here"
    _, metrics = addresses(process)
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    with urllib.request.urlopen(metrics, timeout=DEADLINE_S) as page:
        assert f"process_max_fds {hard}\n" in page.read().decode()
