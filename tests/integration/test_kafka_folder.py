"""A partition's folder moves between Apache Kafka 4.3 and Headrace, both ways.

And Kafka's DumpLogSegments, which checks each index entry and timestamp against the log, has
nothing to say about our files.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.storage.data_dir import DataDir
from headrace.storage.log import Log
from headrace.storage.os_disk import OsDisk
from headrace.wire.batch import CODEC_MASK, read_batch_header, stamp
from headrace.wire.compression import CODECS
from headrace.wire.records import NewRecord, build_batch, walk

from e2e.kafka.apache import Kafka
from e2e.kafka.jars import missing
from e2e.kafka.tools import run_tool
from tests.logs import NOW_MS, flush, read_all

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.timeout(240),
]

CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
RECORDS_A_CODEC = 300
SMALL_HEAP = ("-Xms128M", "-Xmx512M")
SMALL_SEGMENTS = {"segment.bytes": str(1024 * 1024)}

Pair = tuple[bytes, bytes]


def produce_with_every_codec(bootstrap: str, topic: str) -> list[Pair]:
    """Five idempotent producers, one after another."""
    made: list[Pair] = []
    rng = random.Random(7)
    for codec in CODEC_NAMES:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "compression.type": codec,
                "linger.ms": 5,
            }
        )
        for number in range(RECORDS_A_CODEC):
            pair = (f"{codec}-{number}".encode(), rng.randbytes(1000).hex().encode())
            producer.produce(topic, key=pair[0], value=pair[1], partition=0)
            made.append(pair)
        assert producer.flush(60) == 0
    return made


def consume(bootstrap: str, topic: str, count: int) -> list[Pair]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Pair] = []
    while len(found) < count:
        messages = consumer.consume(500, timeout=30)
        assert messages, f"only {len(found)} of {count} records came"
        for message in messages:
            assert message.error() is None
            found.append((message.key(), message.value()))
    consumer.close()
    return found


def write_our_log(path: str) -> list[Pair]:
    """A log of several segments, codecs, epochs and a checkpoint, cleanly closed."""
    producers, rng = Producers(), random.Random(3)
    settings = LogSettings(segment_bytes=60_000, index_interval_bytes=1000)
    log = Log.open(OsDisk(), path, settings, producers, clean=False, now_ms=NOW_MS)
    pairs: list[Pair] = []
    sequence, timestamp = 0, NOW_MS
    for number in range(600):
        records = [
            (b"k%d" % number, rng.randbytes(rng.randrange(200))) for _ in range(1 + number % 4)
        ]
        timestamp += rng.randrange(-50, 100)
        batch = build_batch(
            [NewRecord(key, value, timestamp + rng.randrange(100)) for key, value in records],
            producer_id=1000,
            producer_epoch=0,
            base_sequence=sequence,
            codec=number % 5,
        )
        stamp(batch, 0, log.log_end_offset, number // 250)
        header = read_batch_header(batch, 0)
        log.append(
            batch,
            last_offset=header.last_offset,
            max_timestamp=header.max_timestamp,
            leader_epoch=number // 250,
            now_ms=NOW_MS,
        )
        producers.observe(header)
        sequence += len(records)
        pairs += records
        if number == 200:
            flush(log)
    assert len(log.segments) > 2
    log.close()
    return pairs


def dump(folder: Path, *options: str, suffixes: tuple[str, ...]) -> str:
    files = sorted(str(f) for f in folder.iterdir() if f.name.endswith(suffixes))
    assert files
    done = run_tool("DumpLogSegments", *options, "--files", ",".join(files))
    return done.stdout + done.stderr


def complaints(output: str) -> list[str]:
    """The lines in which the tool reports something wrong, whatever it is."""
    words = ("mismatch", "out of order", "invalid", "corrupt", "non-consecutive", "error")
    lines = output.splitlines()
    told = [line for line in lines if any(word in line.lower() for word in words)]
    told = [line for line in told if "isvalid: true" not in line and "batchIndex" not in line]
    return told + [line for line in lines if "isvalid: false" in line]


@pytest.fixture(scope="module")
def exchange(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, list[Pair], list[Pair], list[Pair]]]:
    """Kafka's data folder after it wrote a topic and served a folder of ours.

    Yields the folder of what Kafka wrote, those records, what we wrote, and what Kafka's
    consumers read of that.
    """
    root = tmp_path_factory.mktemp("kafka")
    kafka = Kafka(root / "data", java_options=SMALL_HEAP)
    with kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        made = admin.create_topics(
            [NewTopic(name, 1, 1, config=SMALL_SEGMENTS) for name in ("written", "moved")]
        )
        for future in made.values():
            future.result(60)
        written = produce_with_every_codec(kafka.bootstrap, "written")
    folder = kafka.data_dir / "moved-0"
    for file in folder.iterdir():
        if file.name != "partition.metadata":
            file.unlink()
    ours = write_our_log(str(folder))
    shutil.copytree(kafka.data_dir / "written-0", root / "written-0")
    with kafka:
        read = consume(kafka.bootstrap, "moved", len(ours))
        more = Producer({"bootstrap.servers": kafka.bootstrap})
        more.produce("moved", key=b"one", value=b"more", partition=0)
        assert more.flush(60) == 0
    yield kafka.data_dir, written, ours, read
    shutil.rmtree(root)


Exchange = tuple[Path, list[Pair], list[Pair], list[Pair]]


def records_of(log: Log) -> list[Pair]:
    batches = read_all(log, max_bytes=100_000)
    return [(r.key or b"", r.value or b"") for batch in batches for r in walk(batch)]


def test_kafka_serves_a_folder_that_we_wrote(exchange: Exchange) -> None:
    _, _, ours, read = exchange
    assert read == ours


@pytest.mark.parametrize("clean", [True, False])
def test_we_read_a_folder_that_kafka_wrote(exchange: Exchange, tmp_path: Path, clean: bool) -> None:
    data_dir, written, _, _ = exchange
    shutil.copytree(data_dir / "written-0", tmp_path / "written-0")
    producers = Producers()
    log = Log.open(
        OsDisk(), str(tmp_path / "written-0"), LogSettings(), producers, clean=clean, now_ms=NOW_MS
    )
    assert len(log.segments) > 1
    assert log.recovered.cut_bytes == 0
    assert log.recovered.scanned_bytes == (0 if clean else log.size_bytes)
    assert records_of(log) == written
    codecs = {read_batch_header(b, 0).attributes & CODEC_MASK for b in read_all(log)}
    assert codecs == set(CODECS.values())
    assert len(producers.entries()) == len(CODEC_NAMES), "each idempotent producer is known"
    for number in (0, 700, len(written) - 1):
        batch = log.locate(number, 1, max_offset=log.log_end_offset)
        record = next(
            r for r in walk(batch.file.pread(batch.count, batch.position)) if r.offset == number
        )
        found = log.offset_for_timestamp(record.timestamp)
        assert found is not None
        assert found.timestamp == record.timestamp
        assert found.offset <= number
    log.close(clean=False)


def test_we_go_on_where_kafka_went_on_from_us(exchange: Exchange, tmp_path: Path) -> None:
    data_dir, _, ours, _ = exchange
    shutil.copytree(data_dir / "moved-0", tmp_path / "moved-0")
    log = Log.open(
        OsDisk(), str(tmp_path / "moved-0"), LogSettings(), Producers(), clean=True, now_ms=NOW_MS
    )
    assert log.recovered.scanned_bytes == 0
    assert records_of(log) == [*ours, (b"one", b"more")]
    log.close(clean=False)


def test_our_data_dir_knows_the_folder_of_a_kafka(exchange: Exchange, tmp_path: Path) -> None:
    data_dir, _, _, _ = exchange
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    opened = DataDir.open(OsDisk(), str(copy), node_id=1)
    assert opened.was_clean
    assert opened.clean_broker_epoch >= 0
    assert opened.recovery_point("written", 0) == RECORDS_A_CODEC * len(CODEC_NAMES)
    assert opened.cluster_id
    opened.close()


def test_dump_log_segments_finds_nothing_wrong(exchange: Exchange, tmp_path: Path) -> None:
    """On the log the tool complains of every segment that does not begin at offset 0, Kafka's own
    included ("-1 is followed by 1234"): those lines, and no others, are expected."""
    data_dir, _, _, _ = exchange
    ours = tmp_path / "ours-0"
    write_our_log(str(ours))
    for folder, whose in ((ours, "ours"), (data_dir / "written-0", "Kafka's")):
        deep = dump(folder, "--deep-iteration", suffixes=(".log",))
        bases = [int(f.stem) for f in sorted(folder.glob("*.log"))]
        assert deep.count("isvalid: true") == deep.count("baseOffset: ") > 4, whose
        told = complaints(deep)
        assert len(told) == len(bases) - 1, (whose, told)
        assert all(line.startswith("Non-consecutive offsets in") for line in told), (whose, told)
        for base in bases[1:]:
            assert f"-1 is followed by {base}" in deep, whose
        assert deep.count(" is followed by ") == len(bases) - 1, whose
        indexes = (".index", ".timeindex")
        sane = dump(folder, "--index-sanity-check", suffixes=indexes)
        # Of an empty index, as Kafka's last segment has one here, the tool says nothing.
        filled = [f for f in folder.iterdir() if f.name.endswith(indexes) and f.stat().st_size]
        assert sane.count("passed sanity check") == len(filled) > len(bases), whose
        for output in (
            dump(folder, "--verify-index-only", suffixes=indexes),
            dump(folder, suffixes=(*indexes, ".snapshot")),
            sane,
        ):
            assert complaints(output) == [], whose


def test_the_complaint_finder_finds(exchange: Exchange, tmp_path: Path) -> None:
    """An index entry that is one byte off, and a flipped bit in a batch, are complained of."""
    write_our_log(str(tmp_path / "bad-0"))
    first = tmp_path / "bad-0" / "00000000000000000000.index"
    spoiled = bytearray(first.read_bytes())
    spoiled[3] ^= 1
    first.write_bytes(spoiled)
    assert complaints(dump(tmp_path / "bad-0", "--verify-index-only", suffixes=(first.name,)))
    log = tmp_path / "bad-0" / "00000000000000000000.log"
    content = bytearray(log.read_bytes())
    content[100] ^= 1
    log.write_bytes(content)
    assert complaints(dump(tmp_path / "bad-0", suffixes=(log.name,)))
