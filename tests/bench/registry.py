"""Every case by name, in the order of a run; the issue's table first, then against ourselves."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.bench.arena import Arena
from tests.bench.cases import (
    command_line,
    disturbed,
    durability,
    fetch,
    java,
    latency,
    recovery,
    replay,
    start,
)
from tests.bench.contest import Row

Case = Callable[[Arena], list[Row]]

CASES: Final[Mapping[str, Case]] = {
    "replay-16k": replay.replay_16k,
    "replay-256k": replay.replay_256k,
    "replay-50": replay.replay_50,
    "replay-100p": replay.replay_100p,
    "fetch-1m": fetch.fetch_1m,
    "java-100b": java.java_100b,
    "java-1k": java.java_1k,
    "java-consumer": java.java_consumer,
    "latency-500": latency.latency_500,
    "latency-5000": latency.latency_5000,
    "ack-50": durability.ack_50,
    "ack-java": durability.ack_java,
    "ack-latency": durability.ack_latency,
    "start": start.start,
    "command-line": command_line.command_line,
    "disturbed": disturbed.disturbed,
    "recovery-10g": recovery.recovery_10g,
    "partitions-2000": recovery.partitions_2000,
}
