"""Fetch by replay: what reading costs the broker."""

from tests.bench.arena import Arena, Side
from tests.bench.contest import Metric, Row, contest
from tests.bench.fetch_replay import read_round
from tests.bench.frames import Batch, make_batch, produce_frame
from tests.bench.produce_replay import Load, replay
from tests.bench.rounds import Sample, at_most

ANSWER_BYTES = 1 << 20
DATA_BYTES = 1 << 30
READ_BYTES = 4 << 30


def fill(side: Side, topic: str, batch: Batch, size_bytes: int) -> int:
    """Creates `topic` with at least `size_bytes` of batches; returns its end offset."""
    side.create(topic)
    load = Load(depth=5, warm_up_s=0, seconds=300, max_bytes=size_bytes)
    replay(side.port, topic, produce_frame(topic, batch), load)
    return side.end_offset(topic)


def fetch_1m(arena: Arena) -> list[Row]:
    """Fetch replay, 1 MiB answers."""
    # Four batches fill an answer, so neither broker sends half of a fifth.
    batch = make_batch(1024, 256 << 10)
    arena.clear()
    topic = arena.fresh_name("fetch")
    ends = {side.name: fill(side, topic, batch, DATA_BYTES) for side in arena.sides()}

    def measure(side: Side) -> Sample:
        done = read_round(
            side.port,
            topic,
            end_offset=ends[side.name],
            max_bytes=ANSWER_BYTES,
            total_bytes=READ_BYTES,
            broker_cpu_s=side.cpu_s,
        )
        gigabytes = done.batch_bytes / 1e9
        return {
            "cpu_s_per_gb": done.broker_cpu_s / gigabytes,
            "megabytes": done.batch_bytes / 1e6 / done.seconds,
        }

    metrics = [
        Metric(
            key="cpu_s_per_gb",
            title="fetch replay, 1 MiB answers: broker CPU",
            unit="s/GB",
            target=at_most(1.0),
        ),
        Metric(
            key="megabytes",
            title="fetch replay, 1 MiB answers, one after another",
            unit="MB/s",
            byte_of=1e6,
        ),
    ]
    rows = contest(arena, "fetch-1m", metrics, measure, warm_by="cpu_s_per_gb", clear=False)
    arena.clear()
    return rows
