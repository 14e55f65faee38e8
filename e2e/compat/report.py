"""REPORT.md: kafka-python's tests with Kafka beside Headrace, and the differential test."""

import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from e2e.compat.differential.play import Outcome
from e2e.compat.kafka_python.suite import VERSION, Result
from e2e.kafka.jars import ROOT

TARGET = Path(__file__).resolve().parent / "REPORT.md"
Suite = dict[str, tuple[Result, str]]

WAITING = {
    "sasl": "SASL",
    "SSL": "TLS",
    "ssl": "TLS",
    "acl": "ACLs",
    "transaction": "transactions",
}
"""Parts of test names that stand for what a later issue brings."""


def waits_for(test: str) -> str | None:
    """What has to be built before a test can pass, or None where it must pass now."""
    return next((what for part, what in WAITING.items() if part in test), None)


def behind(kafka: Suite, headrace: Suite) -> list[str]:
    """The tests that pass against Kafka, need nothing of a later issue, and do not pass here."""
    return [
        test
        for test, (result, _) in kafka.items()
        if result is Result.PASS
        and waits_for(test) is None
        and headrace.get(test, (Result.ERROR, ""))[0] is not Result.PASS
    ]


def write(kafka: Suite, headrace: Suite, outcomes: Sequence[Outcome]) -> None:
    """Write the whole report."""
    lines = [
        "# Compatibility with Apache Kafka 4.3",
        "",
        f"Written by `make compat` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}, "
        f"Python {platform.python_version()}.",
        "",
        *_suite_lines(kafka, headrace),
        "",
        *_differential_lines(outcomes),
    ]
    TARGET.write_text("\n".join(lines) + "\n")


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def _suite_lines(kafka: Suite, headrace: Suite) -> list[str]:
    counts = [Counter(result for result, _ in suite.values()) for suite in (kafka, headrace)]
    late = behind(kafka, headrace)
    lines = [
        f"## kafka-python {VERSION}, its own integration tests",
        "",
        "| | pass | fail | error | skip |",
        "|---|---|---|---|---|",
    ]
    for name, count in zip(("Apache Kafka 4.3", "Headrace"), counts, strict=True):
        lines.append(f"| {name} | " + " | ".join(str(count[kind]) for kind in _KINDS) + " |")
    lines += [
        "",
        f"Tests that pass against Kafka, must pass here, and do not: {len(late)}."
        + "".join(f" `{test}`" for test in late),
        "",
        "| test | Kafka | Headrace | |",
        "|---|---|---|---|",
    ]
    for test in sorted(kafka.keys() | headrace.keys()):
        (theirs, why), (ours, our_why) = (
            s.get(test, (Result.ERROR, "")) for s in (kafka, headrace)
        )
        waiting = waits_for(test)
        note = f"waiting for {waiting}" if waiting and ours is not Result.PASS else ""
        if not note and ours is not Result.PASS:
            note = (our_why or why)[:120].replace("|", "\\|")
        lines.append(f"| {test} | {theirs.value} | {ours.value} | {note} |")
    return lines


_KINDS = (Result.PASS, Result.FAIL, Result.ERROR, Result.SKIP)


def _differential_lines(outcomes: Sequence[Outcome]) -> list[str]:
    bad = [outcome for outcome in outcomes if outcome.bad]
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.sequence.partition(".")[0], []).append(outcome)
    lines = [
        "## The same requests to both, answers compared field by field",
        "",
        f"{len(outcomes)} sequences, {sum(o.steps for o in outcomes)} answers; in {len(bad)} "
        "sequences something differs that nothing allows.",
        "",
        "| sequences | played | answers | equal | differ as allowed | differ |",
        "|---|---|---|---|---|---|",
    ]
    for kind, held in kinds.items():
        equal = sum(not o.differences and o.broken is None for o in held)
        wrong = sum(o.bad for o in held)
        steps = sum(o.steps for o in held)
        allowed = len(held) - equal - wrong
        lines.append(f"| {kind} | {len(held)} | {steps} | {equal} | {allowed} | {wrong} |")
    if bad:
        lines += ["", "| sequence | answer | field | Kafka | Headrace |", "|---|---|---|---|---|"]
        lines += [row for outcome in bad for row in _rows(outcome)]
    lines += ["", *_allowed_lines(outcomes)]
    return lines


def _rows(outcome: Outcome) -> list[str]:
    rows = [f"| {outcome.sequence} | | | {outcome.broken} | |"] if outcome.broken else []
    for item in outcome.differences:
        if item.allowed is None:
            values = f"{item.kafka!r} | {item.headrace!r}".replace("\n", " ")
            rows.append(f"| {outcome.sequence} | {item.step} | {item.path} | {values} |")
    return rows


def _allowed_lines(outcomes: Sequence[Outcome]) -> list[str]:
    used: Counter[str] = Counter()
    for outcome in outcomes:
        used.update(item.allowed.why for item in outcome.differences if item.allowed is not None)
    lines = [
        "Fields that differ as `allowed.py` allows:",
        "",
        "| fields | reason |",
        "|---|---|",
    ]
    return lines + [f"| {count} | {why} |" for why, count in used.most_common()]
