"""`python -m e2e.compat [suite] [sequences]`: Apache Kafka 4.3 and Headrace, side by side.

Without words both parts run and REPORT.md is written; with one of them only that part runs.
Ends with 1 if a test that passes against Kafka fails here or an answer differs where it may not.
"""

import sys
import tempfile
from pathlib import Path

from e2e.compat import report
from e2e.compat.allowed import ALLOWED
from e2e.compat.differential.play import Outcome, play_all
from e2e.compat.kafka_python.suite import SuiteUnavailable, run
from e2e.compat.sequences import all_sequences
from e2e.kafka.apache import Kafka
from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import KafkaUnavailable
from e2e.kafka.process import LOOPBACK, free_ports

SETTINGS = {
    # Offsets are checked against old timestamps, so nothing may expire while we look.
    "log.retention.ms": "-1",
    "group.initial.rebalance.delay.ms": "0",
}
PARTS = ("suite", "sequences")


def main(words: list[str]) -> int:
    """Run the parts named, or both."""
    if unknown := [word for word in words if word not in PARTS]:
        print(f"unknown part {unknown[0]!r}: {' and '.join(PARTS)} are there", file=sys.stderr)
        return 2
    parts = words or list(PARTS)
    with tempfile.TemporaryDirectory(prefix="headrace-compat-") as folder:
        kafka = Kafka(Path(folder) / "kafka", settings=SETTINGS)
        port = free_ports(1)[0]
        # Kafka's listener is a static setting; so is ours then, or DescribeConfigs differs.
        ours = SETTINGS | {"advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}"}
        with kafka, Headrace(Path(folder) / "ours", settings=ours, kafka_port=port) as headrace:
            return _compare(parts, kafka.kafka_port, headrace.kafka_port)


def _compare(parts: list[str], kafka: int, headrace: int) -> int:
    theirs: report.Suite = {}
    ours: report.Suite = {}
    outcomes: list[Outcome] = []
    if "suite" in parts:
        for name, port, into in (("kafka", kafka, theirs), ("headrace", headrace, ours)):
            print(f"kafka-python's tests against {name} ...", flush=True)
            into.update(run(port, name))
    if "sequences" in parts:
        addresses = (LOOPBACK, kafka), (LOOPBACK, headrace)
        outcomes = play_all(all_sequences(), *addresses, ALLOWED, _tell)
    if len(parts) == len(PARTS):
        report.write(theirs, ours, outcomes)
        print(f"written: {report.TARGET}")
    late = report.behind(theirs, ours)
    differ = [outcome for outcome in outcomes if outcome.bad]
    print(f"kafka-python: {len(ours)} tests, behind Kafka in {len(late)}: {' '.join(late)}")
    print(f"{len(outcomes)} sequences: {len(differ)} differ where nothing allows it")
    return 1 if late or differ else 0


def _tell(outcome: Outcome) -> None:
    if outcome.broken is not None:
        print(f"{outcome.sequence}: {outcome.broken}", flush=True)
    for item in outcome.differences:
        if item.allowed is None:
            values = f"Kafka {item.kafka!r}, Headrace {item.headrace!r}"
            print(f"{outcome.sequence}: {item.step}: {item.path}: {values}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (KafkaUnavailable, SuiteUnavailable) as why:
        sys.exit(f"make compat cannot run: {why}")
