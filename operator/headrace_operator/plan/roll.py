"""Which pod is replaced next, if any: one at a time, the first that fails stops it. Pure.

Brokers and etcd members roll by the same rules. One that is not Ready and does not have the newest
template serves nothing: it goes first, and waits for nobody but one that the newest template broke.
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
    waits_for: str | None = None

    @property
    def settled(self) -> bool:
        return self.waits_for is None

    @property
    def serves(self) -> bool:
        """Whether replacing its pod would take something away."""
        return self.pod is not None and self.pod.ready

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
    moving = [unit for unit in unsettled if not _cannot_run_here(unit)]
    broken = [unit for unit in outdated if not unit.serves]
    if broken and not moving:
        return Roll(next=broken[0].number, remaining=len(outdated))
    blockers = unsettled or _away(outdated)
    if blockers or broken:
        sentences = tuple(unit.waits_for or REPLACED for unit in blockers)
        return Roll(remaining=len(outdated), blocked=sentences)
    return Roll(next=outdated[0].number, remaining=len(outdated))


def _broken_by_template(units: Iterable[Unit]) -> Failure | None:
    for unit in units:
        if unit.failure is not None and unit.failure.blame is Blame.POD:
            return unit.failure
    return None


def _cannot_run_here(unit: Unit) -> bool:
    return unit.failure is not None and unit.failure.blame is Blame.PLACE


def _away(units: Iterable[Unit]) -> list[Unit]:
    """Those whose pod ends right now: the next one waits until they are back."""
    return [unit for unit in units if unit.pod is not None and unit.pod.terminating]
