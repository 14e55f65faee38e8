"""Kafka's own Java clients: mostly the client is measured, and the broker's CPU beside it."""

import re
from collections.abc import Mapping

from e2e.kafka.tools import run_tool
from tests.bench.arena import Arena, Side, Void
from tests.bench.cases.fetch import fill
from tests.bench.contest import Metric, Row, contest
from tests.bench.frames import make_batch
from tests.bench.rounds import Sample, Target, at_least, at_most

STEADY = re.compile(r"^(\d+) steady state records sent, ([\d.]+) records/sec", re.MULTILINE)
CONSUMED_RECORDS = 6_000_000


def java_100b(arena: Arena) -> list[Row]:
    """Java producer, default batches and idempotence on, 100 B."""
    return [
        *_produce(arena, "java-100b", 100, warm_up=500_000, records=2_000_000),
    ]


def java_1k(arena: Arena) -> list[Row]:
    """Java producer, default batches and idempotence on, 1 KiB."""
    return _produce(arena, "java-1k", 1024, warm_up=100_000, records=300_000)


def produce_rate(
    side: Side, topic: str, value_bytes: int, *, warm_up: int, records: int
) -> tuple[float, float]:
    """Runs ProducerPerformance with its defaults; gives records/s and the broker's CPU seconds.

    The rate leaves out the first `warm_up` records (the client's JVM); the CPU seconds are for
    all of them. Raises Void unless every record is in the log afterwards: the tool itself
    counts what failed as sent.
    """
    total = warm_up + records
    before = side.cpu_s()
    done = run_tool(
        "ProducerPerformance",
        *("--bootstrap-server", side.broker.bootstrap, "--topic", topic),
        *("--num-records", str(total), "--warmup-records", str(warm_up)),
        *("--record-size", str(value_bytes), "--throughput", "-1"),
        *("--reporting-interval", "600000"),
    )
    cpu_s = side.cpu_s() - before
    found = STEADY.search(done.stdout)
    if found is None:
        raise Void(f"ProducerPerformance printed no steady rate: {done.stdout[-500:]}")
    end = side.end_offset(topic)
    if end != total:
        raise Void(f"{side.name} holds {end} records where the Java producer sent {total}")
    return float(found[2]), cpu_s


def _produce(arena: Arena, case: str, value_bytes: int, *, warm_up: int, records: int) -> list[Row]:
    def measure(side: Side) -> Sample:
        topic = side.create(arena.fresh_name(case))
        rate, cpu_s = produce_rate(side, topic, value_bytes, warm_up=warm_up, records=records)
        rss_mb = side.broker.usage().rss_bytes / 1e6
        return {"rate": rate, "cpu_s": cpu_s, "rss_mb": rss_mb}

    size = f"{value_bytes} B" if value_bytes < 1024 else f"{value_bytes >> 10} KiB"
    metrics = [
        Metric(
            key="rate",
            title=f"Java client, default batches, idempotence on, {size}",
            unit="records/s",
            target=at_least(1.1),
            byte_of=value_bytes,
        ),
        Metric(
            key="cpu_s",
            title=f"broker CPU for {warm_up + records:,} records of {size} from the Java client",
            unit="s",
            target=at_most(0.5),
        ),
        Metric(
            key="rss_mb",
            title=f"resident memory after the load (Java client, {size})",
            unit="MB",
            target=at_most(1 / 8),
        ),
    ]
    return contest(arena, case, metrics, measure, warm_by="rate")


def java_consumer(arena: Arena) -> list[Row]:
    """Java ConsumerPerformance with a group."""
    batch = make_batch(100, 16 << 10)
    arena.clear()
    topic = arena.fresh_name("java-consumer")
    size_bytes = (CONSUMED_RECORDS // batch.records + 1) * len(batch.data)
    for side in arena.sides():
        fill(side, topic, batch, size_bytes)

    def measure(side: Side) -> Sample:
        return _consume(side, topic, arena.fresh_name("java-group"))

    metrics = [
        _metric("rate", "Java ConsumerPerformance with a group, 100 B", at_least(0.95)),
        Metric(
            key="cpu_s",
            title=f"broker CPU for {CONSUMED_RECORDS:,} records to that consumer",
            unit="s",
        ),
        Metric(key="rebalance_ms", title="the group's first rebalance", unit="ms"),
    ]
    rows = contest(arena, "java-consumer", metrics, measure, warm_by="rate", clear=False)
    arena.clear()
    return rows


def _metric(key: str, title: str, target: Target) -> Metric:
    return Metric(key=key, title=title, unit="records/s", target=target, byte_of=100)


def _consume(side: Side, topic: str, group: str) -> Mapping[str, float]:
    before = side.cpu_s()
    done = run_tool(
        "ConsumerPerformance",
        *("--bootstrap-server", side.broker.bootstrap, "--topic", topic, "--group", group),
        *("--num-records", str(CONSUMED_RECORDS), "--hide-header"),
        *("--reporting-interval", "600000"),
    )
    cpu_s = side.cpu_s() - before
    figures = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == 9]
    if not figures:
        raise Void(f"ConsumerPerformance printed no figures: {done.stdout[-500:]}")
    *_, records, rate, rebalance_ms, _fetch_ms, _fetch_mb, _fetch_rate = figures[-1]
    if int(records) < CONSUMED_RECORDS:
        raise Void(f"{side.name} gave {records} of {CONSUMED_RECORDS} records")
    return {"rate": float(rate), "cpu_s": cpu_s, "rebalance_ms": float(rebalance_ms)}
