"""Produce by replay: the broker is what is measured, not a client."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.bench.arena import Arena, Side
from tests.bench.contest import Metric, Row, contest
from tests.bench.frames import make_batch, produce_frame
from tests.bench.produce_replay import Load, replay
from tests.bench.rounds import Sample, Target, at_least

NO_CONFIGS: Mapping[str, str] = {}
DRIVER_BUSY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a replay case sends, and the ratio of rates it must reach.

    value_bytes, batch_bytes: of a record's value and at most of a batch (see make_batch)
    """

    case: str
    title: str
    value_bytes: int
    batch_bytes: int
    partitions: int = 1
    load: Load
    target: Target | None = None


SMALL = Shape(
    case="replay-16k",
    title="replay, 100 B records in 16 KiB batches, 5 in flight",
    value_bytes=100,
    batch_bytes=16 << 10,
    load=Load(depth=5),
    target=at_least(1.5),
)
LARGE = Shape(
    case="replay-256k",
    title="replay, 1 KiB records in 256 KiB batches, 5 in flight",
    value_bytes=1024,
    batch_bytes=256 << 10,
    # Short, or the kernel begins to write gigabytes of dirty pages back in mid-round.
    load=Load(depth=5, warm_up_s=0.3, seconds=1.5),
    target=at_least(1.0),
)
UNBATCHED = Shape(
    case="replay-50",
    title="replay, 50 connections, one 100 B record a request",
    value_bytes=100,
    batch_bytes=1,
    load=Load(connections=50),
    target=at_least(0.8),
)
MANY_PARTITIONS = Shape(
    case="replay-100p",
    title="replay, 100 partitions a request, 1 KiB batches, 5 in flight",
    value_bytes=100,
    batch_bytes=1024,
    partitions=100,
    load=Load(depth=5),
    target=at_least(0.7),
)


def replay_16k(arena: Arena) -> list[Row]:
    """Replay, 100 B records in 16 KiB batches."""
    return play(arena, SMALL)


def replay_256k(arena: Arena) -> list[Row]:
    """Replay, 1 KiB records in 256 KiB batches."""
    return play(arena, LARGE)


def replay_50(arena: Arena) -> list[Row]:
    """Replay, 50 connections, one record a request."""
    return play(arena, UNBATCHED)


def replay_100p(arena: Arena) -> list[Row]:
    """Replay, 100 partitions a request."""
    return play(arena, MANY_PARTITIONS)


def play(
    arena: Arena,
    shape: Shape,
    kafka_configs: Mapping[str, str] = NO_CONFIGS,
    our_configs: Mapping[str, str] = NO_CONFIGS,
) -> list[Row]:
    """The rows of a shape: records a second, and broker CPU for a million of them."""
    batch = make_batch(shape.value_bytes, shape.batch_bytes)
    driver_cores: dict[str, float] = {}

    def measure(side: Side) -> Sample:
        configs = our_configs if side.is_ours else kafka_configs
        topic = side.create(arena.fresh_name(shape.case), shape.partitions, configs)
        frame = produce_frame(topic, batch, shape.partitions)
        done = replay(side.port, topic, frame, shape.load, side.cpu_s)
        records = done.requests * frame.records
        driver_cores[side.name] = max(driver_cores.get(side.name, 0.0), done.driver_cores)
        return {
            "rate": records / done.seconds,
            "cpu_s_per_million": done.broker_cpu_s / records * 1e6,
            "broker_cores": done.broker_cpu_s / done.seconds,
            "driver_cores": done.driver_cores,
        }

    metrics = [
        Metric(
            key="rate",
            title=shape.title,
            unit="records/s",
            target=shape.target,
            byte_of=len(batch.data) / batch.records,
        ),
        Metric(
            key="cpu_s_per_million",
            title=f"{shape.title}: broker CPU",
            unit="s/1 M records",
        ),
    ]
    rows = contest(arena, shape.case, metrics, measure, warm_by="rate")
    if max(driver_cores.values()) < DRIVER_BUSY:
        return rows
    shares = ", ".join(f"{name} {cores:.2f}" for name, cores in driver_cores.items())
    note = f"the driver itself used up to this share of a core: {shares}; near 1 it is the ceiling"
    return [replace(row, note="; ".join(filter(None, (row.note, note)))) for row in rows]
