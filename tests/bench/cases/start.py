"""From the start of the process to the first Metadata answer that lists a live broker."""

import shutil

from e2e.kafka.apache import Kafka
from e2e.kafka.headrace import Headrace
from e2e.kafka.process import BrokerProcess
from tests.bench.arena import Arena, Side
from tests.bench.contest import Metric, Row, contest
from tests.bench.rounds import Sample, at_most


def start(arena: Arena) -> list[Row]:
    """Start until ready, on an empty folder (Kafka's is formatted before the clock starts)."""
    arena.stop_sides()
    sides = (Side(Kafka(arena.new_folder("start"))), Side(Headrace(arena.new_folder("start"))))

    def measure(side: Side) -> Sample:
        kind: type[BrokerProcess] = type(side.broker)
        broker = kind(arena.new_folder("start"))
        broker.prepare()
        try:
            return {"seconds": broker.start(), "rss_mb": broker.usage().rss_bytes / 1e6}
        finally:
            broker.kill()
            shutil.rmtree(broker.data_dir.parent)

    metrics = [
        Metric(key="seconds", title="start until ready", unit="s", target=at_most(0.5)),
        Metric(key="rss_mb", title="resident memory when ready, empty", unit="MB"),
    ]
    return contest(arena, "start", metrics, measure, warm_by="seconds", sides=sides)
