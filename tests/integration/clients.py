"""What the tests of real clients share: waiting, librdkafka as the reference, files on the disk."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from headrace.wire.batch import CODEC_MASK, read_batch_header

from e2e.kafka.headrace import Headrace

DEADLINE_S = 30.0
CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
OUR_BUGS = ("a request failed on a bug of ours", "Traceback (most recent call last)")

Pair = tuple[bytes | None, bytes | None]
T = TypeVar("T")


def until(look: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """What `look` gives once it is true; looks every 20 ms."""
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"within {deadline_s} s: {what}"
        time.sleep(0.02)
    return found


def pairs(codec: str, number: int = 300) -> list[Pair]:
    """Records that every codec makes smaller: text that repeats itself, some of it long."""
    return [
        (b"key-%d" % n, f"{codec} {n} ".encode() * (1 + n % 50) + bytes([n % 256]) * (n % 7))
        for n in range(number)
    ]


def create_topic(
    broker: Headrace, name: str, partitions: int = 1, config: dict[str, str] | None = None
) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    new = NewTopic(name, partitions, 1, config=config or {})
    for future in admin.create_topics([new]).values():
        future.result(DEADLINE_S)


def produce(
    broker: Headrace,
    topic: str,
    records: Iterable[Pair],
    *,
    codec: str = "none",
    partition: int = 0,
    **settings: object,
) -> None:
    """librdkafka writes the records to one partition and waits for every acknowledgement."""
    failed: list[KafkaError] = []

    def told(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "compression.type": codec, "linger.ms": 5}
        | {key.replace("_", "."): value for key, value in settings.items()}
    )
    for key, value in records:
        producer.produce(topic, key=key, value=value, partition=partition, on_delivery=told)
    assert producer.flush(DEADLINE_S) == 0
    assert not failed


def read_to_end(broker: Headrace, topic: str, partition: int = 0, start: int = 0) -> list[Pair]:
    """Everything librdkafka reads of a partition from an offset to its end, CRCs checked."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "nobody",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, start)])
    found: list[Pair] = []
    deadline = time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            error = message.error() if message is not None else None
            if message is None:
                continue
            if error is None:
                found.append((message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                return found
            else:
                raise KafkaException(error)
    finally:
        consumer.close()
    raise AssertionError(f"the end of {topic}-{partition} was not reached, {len(found)} records")


def codecs_on_disk(broker: Headrace, topic: str, partition: int = 0) -> set[str]:
    """The codecs of the batches that the broker keeps, read from its segment files."""
    found = set()
    for file in sorted((broker.data_dir / f"{topic}-{partition}").glob("*.log")):
        content, position = file.read_bytes(), 0
        while position < len(content):
            header = read_batch_header(content, position)
            found.add(CODEC_NAMES[header.attributes & CODEC_MASK])
            position += header.size_bytes
    return found


def offsets(broker: Headrace, group: str, partitions: Sequence[TopicPartition]) -> list[int]:
    """What a group has committed, in the order asked."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    try:
        return [p.offset for p in consumer.committed(list(partitions), timeout=DEADLINE_S)]
    finally:
        consumer.close()


def log_files(folder: Path) -> list[str]:
    """The names of the segments in a partition's folder."""
    return sorted(file.name for file in folder.glob("*.log"))
