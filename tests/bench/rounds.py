"""How rounds become figures: warm first, alternate, pair, then medians. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")
Sample = Mapping[str, float]
WARM_WITHIN = 0.10
WARM_ROUNDS_MAX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median, minimum and maximum of `count` values."""

    median: float
    minimum: float
    maximum: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the median has to reach: `at_least` the bound, or else at most."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """True if `value` is on the right side of the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """How a side was warmed: the discarded values, and whether two came close enough."""

    values: tuple[float, ...]
    steady: bool


def at_least(bound: float) -> Target:
    """A target for what should be large."""
    return Target(bound=bound, at_least=True)


def at_most(bound: float) -> Target:
    """A target for what should be small."""
    return Target(bound=bound, at_least=False)


def spread(values: Sequence[float]) -> Spread:
    """The spread of one or more values."""
    return Spread(
        median=median(values), minimum=min(values), maximum=max(values), count=len(values)
    )


def warm_up(measure: Callable[[], float], most: int = WARM_ROUNDS_MAX) -> Warm:
    """Measures until two rounds in a row differ by less than a tenth; all are discarded."""
    values: list[float] = []
    while len(values) < most:
        values.append(measure())
        if len(values) > 1 and differ(values[-2], values[-1]) < WARM_WITHIN:
            return Warm(values=tuple(values), steady=True)
    return Warm(values=tuple(values), steady=False)


def differ(one: float, other: float) -> float:
    """By what share of the larger two values differ."""
    larger = max(abs(one), abs(other))
    return abs(one - other) / larger if larger else 0.0


def alternate(first: Callable[[], T], second: Callable[[], T], pairs: int) -> list[tuple[T, T]]:
    """`pairs` rounds of both, taking turns at going first, so that drift favours neither."""
    found: list[tuple[T, T]] = []
    for number in range(pairs):
        if number % 2 == 0:
            one = first()
            found.append((one, second()))
        else:
            other = second()
            found.append((first(), other))
    return found


def ratios(pairs: Sequence[tuple[Sample, Sample]], key: str) -> list[float]:
    """Second over first, for each pair: a ratio of two medians would lose the pairing."""
    return [second[key] / first[key] if first[key] else float("inf") for first, second in pairs]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the sorted values do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
