"""Ends of a broker, wanted and unwanted: nothing acknowledged is lost, nothing is there twice."""

import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from e2e.kafka.headrace import Headrace, executable
from e2e.kafka.process import free_ports
from tests.integration.clients import (
    DEADLINE_S,
    create_topic,
    offsets,
    pairs,
    produce,
    read_to_end,
    until,
)
from tests.integration.conftest import MakeBroker

DURABILITIES = ("never", "interval", "ack")
KILLS = 2
BETWEEN_KILLS = 400
OPEN_FILES = 256
"""Acknowledgements that must have come before the next kill."""


class Load:
    """A producer in a thread that never stops; remembers what was acknowledged at which offset."""

    def __init__(self, broker: Headrace, topic: str, partitions: int) -> None:
        self.acknowledged: list[tuple[int, int, bytes]] = []
        self.failed: list[KafkaError] = []
        self.sent = 0
        self._topic, self._partitions = topic, partitions
        self._ending = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "batch.num.messages": 20,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 20,
                "queue.buffering.max.messages": 2000,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed.append(error)
        else:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            self.acknowledged.append((partition, offset, message.value() or b""))

    def _run(self) -> None:
        while not self._ending.is_set():
            value = b"%d" % self.sent + b" " * (self.sent % 300)
            try:
                self._producer.produce(
                    self._topic,
                    value,
                    partition=self.sent % self._partitions,
                    on_delivery=self._told,
                )
                self.sent += 1
                self._producer.poll(0)
            except BufferError:
                self._producer.poll(0.05)

    def end(self) -> None:
        """Everything that was sent is acknowledged, or the load has failed."""
        self._ending.set()
        self._thread.join(DEADLINE_S)
        assert self._producer.flush(DEADLINE_S) == 0
        assert not self.failed


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_killed_broker_loses_nothing_and_repeats_nothing(
    make_broker: MakeBroker, durability: str
) -> None:
    """An idempotent producer writes on over two kills, in three partitions."""
    partitions = 3
    broker = make_broker({"durability": durability, "durability.interval.ms": "50"})
    create_topic(broker, "load", partitions)
    load = Load(broker, "load", partitions)
    try:
        for _ in range(KILLS):
            enough = len(load.acknowledged) + BETWEEN_KILLS
            until(lambda: len(load.acknowledged) >= enough, "the load goes on")
            broker.kill()
            broker.start()
        enough = len(load.acknowledged) + BETWEEN_KILLS
        until(lambda: len(load.acknowledged) >= enough, "the load goes on")
    finally:
        load.end()
    assert len(load.acknowledged) == load.sent
    for partition in range(partitions):
        kept = [value for _, value in read_to_end(broker, "load", partition)]
        sent = [b"%d" % n + b" " * (n % 300) for n in range(partition, load.sent, partitions)]
        assert kept == sent, "in order, each once"
        for where, offset, value in load.acknowledged:
            assert where != partition or kept[offset] == value


def test_what_was_acknowledged_with_acks_1_is_kept(make_broker: MakeBroker) -> None:
    broker = make_broker()
    create_topic(broker, "one")
    produce(broker, "one", pairs("lz4", 500), codec="lz4", acks=1, enable_idempotence=False)
    broker.kill()
    broker.start()
    assert read_to_end(broker, "one") == pairs("lz4", 500)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_groups_offsets_survive(make_broker: MakeBroker, how: str) -> None:
    broker = make_broker()
    create_topic(broker, "read", 2)
    for partition in range(2):
        produce(broker, "read", pairs("none", 50), partition=partition)
    settings: dict[str, str | int | bool] = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": "readers",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 60_000,  # A slow restart must not cost the membership.
        "reconnect.backoff.max.ms": 100,
        "log_level": 0,
    }
    consumer = Consumer(settings)
    consumer.subscribe(["read"])
    found: list[bytes | None] = []

    def take(count: int) -> None:
        def more() -> bool:
            message = consumer.poll(0.05)
            if message is not None and message.error() is None:
                found.append(message.value())
            return len(found) >= count

        until(more, f"{count} records are read")

    take(60)
    consumer.commit(asynchronous=False)
    before = offsets(broker, "readers", [TopicPartition("read", p) for p in range(2)])
    assert sum(before) == 60
    if how == "killed":
        broker.kill()
    else:
        broker.stop()
    broker.start()
    after = offsets(broker, "readers", [TopicPartition("read", p) for p in range(2)])
    assert after == before
    take(100)

    def committed() -> bool:
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            # What was fetched ahead can be read before the client has found its coordinator.
            if error.args[0].code() != KafkaError._WAIT_COORD:
                raise
            return False
        return True

    until(committed, "the offsets are committed")
    consumer.close()
    assert sorted(v for v in found if v) == sorted(2 * [v for _, v in pairs("none", 50) if v])
    assert offsets(broker, "readers", [TopicPartition("read", p) for p in range(2)]) == [50, 50]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_stops_cleanly_and_the_next_start_is_clean(
    make_broker: MakeBroker, number: signal.Signals
) -> None:
    broker = make_broker()
    create_topic(broker, "kept", 4)
    produce(broker, "kept", pairs("gzip"), codec="gzip")
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "waits", "log_level": 0})
    reader.subscribe(["kept"])
    reader.poll(0.2)
    process = broker.process
    assert process is not None
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 0, broker.output()[-2000:]
    assert (broker.data_dir / ".kafka_cleanshutdown").exists()
    broker.kill()
    broker.start()
    assert not (broker.data_dir / ".kafka_cleanshutdown").exists(), "it is in use again"
    assert read_to_end(broker, "kept") == pairs("gzip")
    reader.close()  # Of a member that is joining it may wait for ever while no broker is there.
    broker.stop()


def test_a_signal_before_it_is_ready_stops_it_as_well(tmp_path: Path) -> None:
    kafka, http = free_ports(2)
    for delay_lines in range(2):
        process = subprocess.Popen(
            [
                str(executable()),
                "dev",
                *("--data-dir", str(tmp_path / "data")),
                *("--kafka-port", str(kafka), "--http-port", str(http)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        try:
            if delay_lines:
                ready = process.stdout.readline()
                assert ready.startswith("headrace is ready: ")
                assert f":{kafka}" in ready
            else:
                until((tmp_path / "data").exists, "it has begun")
            process.terminate()
            rest = process.stdout.read()
            assert process.wait(DEADLINE_S) in ((0,) if delay_lines else (0, -signal.SIGTERM)), rest
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_two_brokers_on_one_folder_are_refused(make_broker: MakeBroker) -> None:
    broker = make_broker()
    second = subprocess.run(
        [
            str(executable()),
            "dev",
            *("--data-dir", str(broker.data_dir), "--kafka-port", "0", "--http-port", "0"),
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert second.returncode == 1
    assert str(broker.data_dir) in second.stderr
    assert "Traceback" not in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    produce(broker, "still", [(b"k", b"v")])


def test_records_whose_metadata_is_lost_are_left_as_they_are(make_broker: MakeBroker) -> None:
    broker = make_broker()
    produce(broker, "precious", [(b"k", b"v")])
    broker.stop()
    kept = {file.name: file.read_bytes() for file in broker.data_dir.glob("metadata.sqlite*")}
    for name in kept:
        (broker.data_dir / name).unlink()
    command = ["dev", "--data-dir", str(broker.data_dir), "--kafka-port", "0", "--http-port", "0"]
    refused = subprocess.run(
        [str(executable()), *command], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert refused.returncode == 1
    assert "precious-0" in refused.stderr and "restore the store" in refused.stderr
    assert (broker.data_dir / "precious-0").is_dir()
    for file in broker.data_dir.glob("metadata.sqlite*"):
        file.unlink()
    for name, content in kept.items():
        (broker.data_dir / name).write_bytes(content)
    broker.start()
    assert read_to_end(broker, "precious") == [(b"k", b"v")]


def test_a_port_that_is_taken_is_named(make_broker: MakeBroker, tmp_path: Path) -> None:
    broker = make_broker()
    for kafka, http in ((broker.kafka_port, 0), (0, broker.http_port)):
        second = subprocess.run(
            [
                str(executable()),
                "dev",
                *("--data-dir", str(tmp_path / "other")),
                *("--kafka-port", str(kafka), "--http-port", str(http)),
            ],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert second.returncode == 1
        assert str(kafka or http) in second.stderr
        assert "Traceback" not in second.stderr


def test_a_clean_stop_needs_few_open_files(tmp_path: Path) -> None:
    """A log that is closed needs four; not of all logs at once."""

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))

    broker = Headrace(tmp_path / "data", settings={"num.partitions": str(OPEN_FILES // 2)})
    command = broker.command()
    with subprocess.Popen(
        command, preexec_fn=few_files, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            while not process.stdout.readline().startswith("headrace is ready"):
                assert process.poll() is None
            produce(broker, "wide", [(b"k", b"v")])
            process.terminate()
            said = process.communicate(timeout=DEADLINE_S)[0]
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert (tmp_path / "data" / ".kafka_cleanshutdown").exists()


def damaged(folder: Path) -> Iterator[str]:
    """Ends of a log such as a crash in the midst of a write leaves; yields what each is."""
    log = sorted(folder.glob("*.log"))[-1]
    whole = log.read_bytes()
    yield "as it was"
    log.write_bytes(whole[:-7])
    yield "the last batch is cut"
    log.write_bytes(whole + os.urandom(200))
    yield "rubbish after the last batch"
    log.write_bytes(whole + bytes(5000))
    yield "zeros after the last batch"


def test_a_torn_end_is_cut_and_the_rest_is_kept(make_broker: MakeBroker) -> None:
    broker = make_broker()
    create_topic(broker, "torn")
    for number in range(20):
        produce(broker, "torn", [(b"k", b"%d" % number)])
    broker.kill()
    cuts = 0
    for what in damaged(broker.data_dir / "torn-0"):
        for index in (broker.data_dir / "torn-0").glob("*index"):
            index.unlink()
        broker.start()
        kept = [value for _, value in read_to_end(broker, "torn")]
        least = 19 if "cut" in what else 20
        assert kept[:least] == [b"%d" % n for n in range(least)], what
        assert len(kept) <= 20, what
        said = broker.output().count("the end of a log was not whole")
        assert said == cuts if what == "as it was" else said > cuts, what
        cuts = said
        broker.kill()
