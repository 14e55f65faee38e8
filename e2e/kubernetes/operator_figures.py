"""Measures what the operator promises and writes `OPERATOR.md`.

    python -m e2e.kubernetes.operator_figures [part of a check's name ...]

Each check has an API server of its own. The file is written only by a run of all of them.
"""

import os
import platform
import sys
import time
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
    rows, kept = [], True
    for check in chosen:
        load = os.getloadavg()[0]
        began = time.monotonic()
        with world() as made:
            figures = check(made)
        took = time.monotonic() - began
        for figure in figures:
            kept = kept and figure.kept
            print(f"{check.__name__}: {figure} (load before: {load:.1f})", flush=True)
            rows.append(_row(check.__name__, figure, load, took))
    if chosen == list(CHECKS):
        RESULTS.write_text("\n".join([*_head(), *rows]) + "\n")
    return 0 if kept else 1


def _head() -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        "# What the operator promises, measured",
        "Written by `python -m e2e.kubernetes.operator_figures`; every figure is measured. All but"
        " the nodes is real and shares the",
        f"machine ({os.cpu_count()} cores, {memory:.0f} GiB, Linux"
        f" {platform.release().partition('-')[0]}, Python {platform.python_version()}):"
        " kube-apiserver, its etcd, the operator's command",
        "with the chart's permissions, one broker for each Cluster, their etcd. A Topic has 3"
        " partitions where there are 1,000, else 1.",
        "The load is the machine's average of the minute before the check.",
        "",
        "| check | what | promised | measured | load |",
        "|---|---|---|---|---|",
    ]


def _row(check: str, figure: Figure, load: float, took: float) -> str:
    verdict = "" if figure.kept else " (MISSED)"
    return (
        f"| {check} ({took:.0f} s) | {figure.what} | {figure.limit:g} {figure.unit} |"
        f" {figure.value:.4g} {figure.unit}{verdict} | {load:.1f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
