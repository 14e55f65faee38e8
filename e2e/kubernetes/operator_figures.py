"""Measures what the operator promises and writes `OPERATOR.md`.

    python -m e2e.kubernetes.operator_figures [part of a check's name ...]

Each check has an API server of its own. A run replaces the rows of the checks that it ran.
"""

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from e2e.kubernetes.runtime_speed import Figure, failover, quiet, topics_created, topics_found
from e2e.kubernetes.runtime_world import World, world

RESULTS = Path(__file__).parent / "OPERATOR.md"
CHECKS: tuple[Callable[[World], list[Figure]], ...] = (
    topics_created,
    topics_found,
    failover,
    quiet,
)


def main() -> int:
    """0 where every promise is kept."""
    chosen = [c for c in CHECKS if not sys.argv[1:] or any(p in c.__name__ for p in sys.argv[1:])]
    kept = True
    for check in chosen:
        load = os.getloadavg()[0]
        with world() as made:
            figures = check(made)
        for figure in figures:
            kept = kept and figure.kept
            print(f"{check.__name__}: {figure} (load before: {load:.1f})", flush=True)
        write(check.__name__, [_row(check.__name__, figure, load) for figure in figures])
    return 0 if kept else 1


def write(check: str, rows: list[str]) -> None:
    """Put the rows of a check into the file, in place of those it had."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    known = [line for line in text.splitlines() if line.startswith("| `")]
    known = [line for line in known if not line.startswith(f"| `{check}` |")] + rows
    order = [each.__name__ for each in CHECKS]
    known.sort(key=lambda line: order.index(line.split("`")[1]))
    RESULTS.write_text("\n".join([*_head(), *known]) + "\n")


def _head() -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        "# What the operator promises, measured",
        "Written by `python -m e2e.kubernetes.operator_figures`, check by check (the first column"
        " names it); every figure is",
        "measured. All but the nodes is real and shares the machine"
        f" ({os.cpu_count()} cores, {memory:.0f} GiB,"
        f" Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}):",
        "kube-apiserver, its etcd, the operator's command with the chart's permissions, one broker"
        " for each Cluster, their etcd.",
        "A Topic has 3 partitions where there are 1,000 of them, else 1. The load is the machine's"
        " average over the minute before",
        "the check: at 0 nobody else was there, at 10 four others waited for each core.",
        "",
        "| check | what | promised | measured | load |",
        "|---|---|---|---|---|",
    ]


def _row(check: str, figure: Figure, load: float) -> str:
    verdict = "" if figure.kept else " (missed)"
    return (
        f"| `{check}` | {figure.what} | {figure.limit:g} {figure.unit} |"
        f" {figure.value:.4g} {figure.unit}{verdict} | {load:.1f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
