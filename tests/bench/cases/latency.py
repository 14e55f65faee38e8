"""End-to-end latency at a fixed rate, producer to consumer through librdkafka."""

from collections.abc import Mapping

from tests.bench.arena import Arena, Side
from tests.bench.contest import Metric, Row, contest
from tests.bench.latency_probe import probe
from tests.bench.rounds import Sample, Target, at_most

SECONDS = 5.0
NO_CONFIGS: Mapping[str, str] = {}


def latency_500(arena: Arena) -> list[Row]:
    """End-to-end latency at 500 msg/s."""
    return play(arena, "latency-500", 500, "end-to-end at 500 msg/s", at_most(0.35))


def latency_5000(arena: Arena) -> list[Row]:
    """End-to-end latency at 5,000 msg/s."""
    return play(arena, "latency-5000", 5000, "end-to-end at 5,000 msg/s", at_most(0.35))


def play(
    arena: Arena,
    case: str,
    rate: int,
    title: str,
    target: Target,
    our_configs: Mapping[str, str] = NO_CONFIGS,
) -> list[Row]:
    """Rows for p50, p99 (which the target is for) and p99.9."""

    def measure(side: Side) -> Sample:
        topic = side.create(
            arena.fresh_name(case), configs=our_configs if side.is_ours else NO_CONFIGS
        )
        return probe(side.broker.bootstrap, topic, rate, SECONDS)

    metrics = [
        Metric(key="p99_ms", title=f"{title}, p99", unit="ms", target=target),
        Metric(key="p50_ms", title=f"{title}, p50", unit="ms"),
        Metric(key="p999_ms", title=f"{title}, p99.9", unit="ms"),
    ]
    return contest(arena, case, metrics, measure, warm_by="p50_ms")
