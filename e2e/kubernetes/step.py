"""Steps of the end-to-end run: named, limited in time, measured, and explained when they fail."""

import contextlib
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from e2e.kubernetes.explain import explain
from e2e.kubernetes.world import World


class TooLate(Exception):
    """A step did not end within its limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that a user does and what must come of it.

    does:    returns one line about what was seen or measured; raises what it likes to fail
    limit_s: seconds until it has failed
    """

    name: str
    does: Callable[[World], str]
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a step: the seconds it took and what it saw, or why it failed."""

    step: Step
    seconds: float
    seen: str
    failed: bool


def run(steps: list[Step], world: World) -> list[Result]:
    """Runs the steps in order until one fails, which is explained on standard output."""
    results = []
    for step in steps:
        result = _run(step, world)
        results.append(result)
        verdict = "FAILED" if result.failed else "ok"
        print(f"{result.seconds:7.1f} s  {verdict:6}  {step.name}: {result.seen}", flush=True)
        if result.failed:
            explain(world)
            break
    return results


def _run(step: Step, world: World) -> Result:
    started = time.monotonic()
    failed = False
    try:
        with _limited(step):
            seen = step.does(world)
    except Exception as fault:
        failed = True
        seen = f"{fault or type(fault).__name__}"
        traceback.print_exc()
    return Result(step=step, seconds=time.monotonic() - started, seen=seen, failed=failed)


@contextlib.contextmanager
def _limited(step: Step) -> Iterator[None]:
    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TooLate(f"not done within {step.limit_s:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, step.limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
