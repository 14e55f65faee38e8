"""Which pod is replaced next, if any: one at a time, the first that fails stops it. Pure.

Brokers and etcd members roll by the same rules. One that serves nothing (or whose pod is going
anyway) and does not have the newest template goes first. One that serves is replaced only while
all others run what their StatefulSets say and have told so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from headrace_operator.plan.observed_cluster import Blame, Failure, Pod

REPLACED: Final = "Its pod is being replaced."


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One pod and what it should be. `settled` says that it runs what its StatefulSet says, and
    has told so; `waits_for` is a sentence about what is missing to that."""

    stateful_set: str
    wanted_hash: str
    number: int
    outdated: bool
    """Its StatefulSet does not have the newest template."""
    pod: Pod | None
    replacing: bool = False
    """Its pod is not, or not for long, the one that its StatefulSet describes."""
    waits_for: str | None = None

    @property
    def settled(self) -> bool:
        return self.waits_for is None

    @property
    def serves(self) -> bool:
        """Whether replacing its pod would take something away."""
        return self.pod is not None and self.pod.ready and not self.replacing

    @property
    def failure(self) -> Failure | None:
        return None if self.pod is None else self.pod.failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """`next` is the one to replace now. `blocked` says why there is none though some remain."""

    next: int | None = None
    remaining: int = 0
    blocked: tuple[str, ...] = ()
    failed: Failure | None = None
    """What the newest template broke."""


def plan_roll(units: Sequence[Unit]) -> Roll:
    """Whose turn it is."""
    outdated = [unit for unit in units if unit.outdated]
    newest = [unit for unit in units if not unit.outdated]
    failed = _broken_by_template(newest)
    if failed is not None or not outdated:
        blocked = () if failed is None or not outdated else (failed.message,)
        return Roll(remaining=len(outdated), failed=failed, blocked=blocked)
    unsettled = [unit for unit in newest if not unit.settled]
    away = [unit for unit in outdated if not unit.serves]
    if away and all(_cannot_run_here(unit) for unit in unsettled):
        return Roll(next=away[0].number, remaining=len(outdated))
    silent = [unit for unit in outdated if not unit.settled and unit.serves]
    if unsettled or len(silent) > 1:
        sentences = tuple(unit.waits_for or REPLACED for unit in (*unsettled, *silent))
        return Roll(remaining=len(outdated), blocked=sentences)
    return Roll(next=(silent or outdated)[0].number, remaining=len(outdated))


def _broken_by_template(units: Iterable[Unit]) -> Failure | None:
    for unit in units:
        if unit.failure is not None and unit.failure.blame is Blame.POD:
            return unit.failure
    return None


def _cannot_run_here(unit: Unit) -> bool:
    return unit.failure is not None and unit.failure.blame is Blame.PLACE
