"""`python -m tests.bench`: Apache Kafka and Headrace side by side; writes RESULTS.md."""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.kafka.jars import ROOT
from tests.bench import ceilings
from tests.bench.arena import Arena, say
from tests.bench.contest import Row
from tests.bench.registry import CASES, Case
from tests.bench.results import RESULTS, machine_facts, render

ROUNDS = 7
PARTIAL = ROOT / ".cache" / "bench" / "PARTIAL.md"


def main(arguments: Sequence[str]) -> int:
    """Runs the chosen cases; returns 1 if one of them failed (a missed target is a result)."""
    options = _parser().parse_args(arguments)
    # A terminated run must still end its brokers and remove their data.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = {name: CASES[name] for name in CASES if not options.case or name in options.case}
    command = " ".join(["python -m tests.bench", *arguments])
    facts = machine_facts(command)
    with Arena(rounds=1 if options.quick else options.rounds, quick=options.quick) as arena:
        say("the memory of this machine, touched once; then its ceilings")
        if not options.quick:
            ceilings.touch_memory()
        limits: Mapping[str, float] = ceilings.measure(arena.folder)
        rows = run(chosen, arena, time.monotonic() + options.minutes * 60)
    text = render(facts, rows, limits)
    # Only a whole run may replace the committed results.
    whole = not options.case and not options.quick and options.rounds >= ROUNDS
    path: Path = options.output or (RESULTS if whole else PARTIAL)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(text)
    say(f"written to {path}")
    return 1 if any(row.verdict == "FAILED" for row in rows) else 0


def run(cases: Mapping[str, Case], arena: Arena, deadline: float) -> list[Row]:
    """All rows; a case that raises, or that the time did not suffice for, is a failed row."""
    rows: list[Row] = []
    for number, (name, case) in enumerate(cases.items(), 1):
        title = (case.__doc__ or name).splitlines()[0].rstrip(".")
        if time.monotonic() > deadline:
            rows.append(Row(title=title, failure="not run: the time for the whole run was up"))
            say(f"[{number}/{len(cases)}] {name}: NOT RUN, out of time")
            continue
        say(f"[{number}/{len(cases)}] {name}: {title}")
        started = time.monotonic()
        try:
            found = case(arena)
        except Exception as error:
            traceback.print_exc()
            for output in arena.outputs():
                say(output)
            found = [Row(title=title, failure=f"{type(error).__name__}: {error}")]
            # What state the brokers are in is unknown: the next case gets new ones.
            arena.stop_sides()
        rows += found
        verdicts = ", ".join(row.verdict for row in found)
        say(f"[{number}/{len(cases)}] {name}: {verdicts} ({time.monotonic() - started:.0f} s)")
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"pairs a case ({ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help="one pair, no warm-up: a try, no result"
    )
    parser.add_argument("--minutes", type=float, default=55, help="begin no case after these (55)")
    parser.add_argument("--output", type=Path, help="where to write the table")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
