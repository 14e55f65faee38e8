"""An fsync before every acknowledgement: durability=ack beside Kafka's flush.messages=1."""

from dataclasses import replace

from tests.bench.arena import Arena, Side
from tests.bench.cases import latency, replay
from tests.bench.cases.java import produce_rate
from tests.bench.contest import Metric, Row, contest
from tests.bench.rounds import Sample, at_least, at_most

KAFKA_CONFIGS = {"flush.messages": "1"}
OUR_CONFIGS = {"durability": "ack"}


def ack_50(arena: Arena) -> list[Row]:
    """Fsync before every answer, 50 unbatched connections."""
    shape = replace(
        replay.UNBATCHED,
        case="ack-50",
        title="fsync before every answer, 50 connections, one 100 B record a request",
        target=at_least(5.0),
    )
    return replay.play(arena, shape, KAFKA_CONFIGS, OUR_CONFIGS)


def ack_java(arena: Arena) -> list[Row]:
    """Fsync before every answer, Java client, default batches."""

    def measure(side: Side) -> Sample:
        configs = OUR_CONFIGS if side.is_ours else KAFKA_CONFIGS
        topic = side.create(arena.fresh_name("ack-java"), configs=configs)
        rate, cpu_s = produce_rate(side, topic, 100, warm_up=100_000, records=400_000)
        return {"rate": rate, "cpu_s": cpu_s}

    metric = Metric(
        key="rate",
        title="fsync before every answer, Java client, default batches, 100 B",
        unit="records/s",
        target=at_least(2.0),
        byte_of=100,
    )
    return contest(arena, "ack-java", [metric], measure, warm_by="rate")


def ack_latency(arena: Arena) -> list[Row]:
    """durability=ack at 500 msg/s beside Kafka that does not sync."""
    title = "end-to-end at 500 msg/s, ours with durability=ack, Kafka unsynced"
    return latency.play(arena, "ack-latency", 500, title, at_most(1.0), OUR_CONFIGS)
