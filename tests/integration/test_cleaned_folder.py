"""Apache Kafka 4.3 reads a partition that our cleaner compacted: the tool and the broker."""

import random
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.sim.reading import read_records
from headrace.storage import cleaner_plan
from headrace.storage.cleaner import clean
from headrace.storage.cleaner_swap import swap_in
from headrace.storage.log import Log
from headrace.storage.os_disk import OsDisk
from headrace.wire.batch import read_batch_header
from headrace.wire.records import Header, NewRecord, Record, build_batch

from e2e.kafka.apache import Kafka
from e2e.kafka.jars import missing
from e2e.kafka.tools import run_tool

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.timeout(240),
]

SETTINGS = LogSettings(
    cleanup_policy=("compact",),
    segment_bytes=60_000,
    index_interval_bytes=2000,
    delete_retention_ms=1000,
)
START_MS = 1_700_000_000_000


class Compacted:
    """A log that is written and compacted in turns; tombstones expire on the way."""

    def __init__(self, path: str) -> None:
        self.producers = Producers()
        self.log = Log.open(OsDisk(), path, SETTINGS, self.producers, clean=False, now_ms=START_MS)
        self.now_ms = START_MS
        self.cleaned_to: int | None = None
        self.groups = 0
        self._rng = random.Random(5)
        self._sequences = {11: 0, 12: 0}

    def write(self, batches: int) -> None:
        rng = self._rng
        for _ in range(batches):
            self.now_ms += 10
            producer = rng.choice([-1, 11, 12])
            records = [
                NewRecord(
                    b"key-%d" % rng.randrange(300),
                    None if rng.random() < 0.1 else rng.randbytes(rng.randrange(200)),
                    self.now_ms - rng.randrange(50),
                    (Header("h", b"x"),),
                )
                for _ in range(rng.randrange(1, 6))
            ]
            batch = build_batch(
                records,
                base_offset=self.log.log_end_offset,
                leader_epoch=0,
                codec=rng.randrange(5),
                producer_id=producer,
                producer_epoch=0 if producer > 0 else -1,
                base_sequence=self._sequences.get(producer, -1),
            )
            if producer > 0:
                self._sequences[producer] += len(records)
            header = read_batch_header(batch, 0)
            self.log.append(
                batch,
                last_offset=header.last_offset,
                max_timestamp=header.max_timestamp,
                leader_epoch=0,
                now_ms=self.now_ms,
            )
            self.producers.observe(header)

    def compact(self) -> None:
        log = self.log
        log.roll(self.now_ms)
        flush = log.begin_flush()
        flush.run()
        log.flushed(flush)
        plan = cleaner_plan.plan(
            log, self.cleaned_to, last_stable_offset=log.log_end_offset, now_ms=self.now_ms
        )
        assert plan is not None
        job = cleaner_plan.job(
            log,
            plan,
            last_offsets={e.producer_id: e.last_offset for e in self.producers.entries()},
            now_ms=self.now_ms,
            memory_bytes=10**8,
        )
        for cleaned in clean(log.disk, job, lambda count: None):
            for path in swap_in(log, cleaned.base_offset, cleaned.replaces) or ():
                log.disk.remove(path)
            self.cleaned_to = cleaned.end_offset
            self.groups += 1


def fill(path: str) -> list[Record]:
    """Compact a log at `path` three times and close it; returns what is left."""
    compacted = Compacted(path)
    for _ in range(3):
        compacted.write(600)
        compacted.compact()
        compacted.now_ms += 5000
    compacted.write(100)
    left = list(read_records(compacted.log))
    assert compacted.groups > 10
    assert len(left) < compacted.log.log_end_offset / 5
    compacted.log.close()
    return left


def test_the_tool_finds_nothing_wrong_and_the_same_records(tmp_path: Path) -> None:
    left = fill(str(tmp_path / "t-0"))
    files = sorted(
        str(file)
        for file in (tmp_path / "t-0").iterdir()
        if file.name.endswith((".log", ".index", ".timeindex"))
    )
    done = run_tool("DumpLogSegments", "--deep-iteration", "--files", ",".join(files))
    lines = (done.stdout + done.stderr).splitlines()
    # "Non-consecutive offsets" is what compaction leaves.
    words = ("mismatch", "out of order", "corrupt", "error", "isvalid: false")
    assert [line for line in lines if any(word in line.lower() for word in words)] == []
    records = [line for line in lines if line.startswith("| offset: ")]
    assert [int(line.split()[2]) for line in records] == [record.offset for record in left]
    assert any("count: 0 " in line for line in lines), "a producer's last batch, without records"
    assert any("deleteHorizonMs: OptionalLong[" in line for line in lines)


def test_kafka_serves_it(tmp_path: Path) -> None:
    kafka = Kafka(tmp_path / "data", java_options=("-Xms128M", "-Xmx512M"))
    with kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        topic = NewTopic("cleaned", 1, 1, config={"cleanup.policy": "compact"})
        admin.create_topics([topic])["cleaned"].result(60)
    folder = kafka.data_dir / "cleaned-0"
    for file in folder.iterdir():
        if file.name != "partition.metadata":
            file.unlink()
    left = fill(str(folder))
    with kafka:
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "reader"})
        consumer.assign([TopicPartition("cleaned", 0, 0)])
        found: list[tuple[int, int, bytes | None, bytes | None]] = []
        while len(found) < len(left):
            messages = consumer.consume(len(left) - len(found), timeout=30)
            assert messages, f"only {len(found)} of {len(left)} records came"
            for message in messages:
                assert message.error() is None
                found.append(
                    (message.offset(), message.timestamp()[1], message.key(), message.value())
                )
        consumer.close()
    assert found == [(r.offset, r.timestamp, r.key, r.value) for r in left]
