"""Runs checks one after another, a line each, and goes on where one fails."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from e2e.kubernetes.runtime_world import CheckFailed
from e2e.rig.process import RigFailed

Subject = TypeVar("Subject")


def run_checks(
    checks: Iterable[Callable[[Subject], str]],
    subject: Callable[[Callable[[Subject], str]], Subject],
    names: Sequence[str],
    *,
    logs: Callable[[], Sequence[Path]],
) -> int:
    """Run the checks whose names contain one of `names`, or all, each on what `subject` gives it.

    Returns 0, or 1 where one failed; `logs` may explain that.
    """
    failed = 0
    for check in checks:
        if names and not any(part in check.__name__ for part in names):
            continue
        name = check.__name__.replace("_", " ")
        given = subject(check)
        began = time.monotonic()
        try:
            said = check(given)
        except (CheckFailed, RigFailed) as failure:
            failed = 1
            said = "\n  ".join([f"FAILED: {failure}", *map(str, logs())])
        print(f"{name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return failed
