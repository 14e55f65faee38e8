"""A case that Kafka and Headrace play against each other, from warm-up to rows of the table."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.bench.arena import Arena, Side, say
from tests.bench.rounds import Sample, Spread, Target, Warm, alternate, ratios, spread, warm_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of a round that becomes a row.

    key:     its name in a sample
    title:   the row's first column
    unit:    what a value counts
    target:  what the ratio Headrace / Kafka must reach, or None for a row that only reports
    byte_of: bytes of record batches (or of lines) one unit stands for, for the ceilings; 0 = none
    """

    key: str
    title: str
    unit: str
    target: Target | None = None
    byte_of: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of RESULTS.md.

    beside: who the second figure belongs to; other, ours, ratio: None where there is none
    judged: the value that the target is held against, or None without a target
    """

    title: str
    unit: str = ""
    beside: str = "Kafka"
    other: Spread | None = None
    ours: Spread | None = None
    ratio: Spread | None = None
    target: Target | None = None
    judged: float | None = None
    note: str = ""
    failure: str = ""
    byte_of: float = 0.0

    @property
    def verdict(self) -> str:
        """failed, met, missed, or reported where nothing was demanded."""
        if self.failure:
            return "FAILED"
        if self.target is None or self.judged is None:
            return "reported"
        return "met" if self.target.met(self.judged) else "MISSED"


def contest(
    arena: Arena,
    case: str,
    metrics: Sequence[Metric],
    measure: Callable[[Side], Sample],
    *,
    warm_by: str,
    sides: tuple[Side, Side] | None = None,
    clear: bool = True,
    beside: str = "Kafka",
    remark: Callable[[], str] = str,
) -> list[Row]:
    """Warm-up of both, then alternating pairs; a row a metric.

    measure: one round on one side
    warm_by: the key by which a side counts as warm
    sides:   first the one to compare with, then ours; by default Kafka and Headrace
    clear:   False where rounds only read what the case wrote before
    beside:  what the first side is called in the table
    remark:  asked once after the last round for a note on all rows
    """
    first, second = sides if sides is not None else arena.sides()

    def one(side: Side, what: str) -> Sample:
        if clear:
            arena.clear()
        started = time.perf_counter()
        sample = measure(side)
        figures = ", ".join(f"{key} {value:.5g}" for key, value in sample.items())
        say(f"{case}: {what} {side.name}: {figures} ({time.perf_counter() - started:.1f} s)")
        return sample

    def warming(side: Side) -> float:
        return one(side, "warm-up")[warm_by]

    note = ""
    if not arena.quick:
        for side in (first, second):
            warm = warm_up(partial(warming, side))
            note = "; ".join(filter(None, (note, _unsteady(side, warm))))
    pairs = alternate(lambda: one(first, "round"), lambda: one(second, "round"), arena.rounds)
    note = "; ".join(filter(None, (note, remark())))
    if clear:
        arena.clear()
    return [compare(metric, pairs, note=note, beside=beside) for metric in metrics]


def compare(
    metric: Metric,
    pairs: Sequence[tuple[Sample, Sample]],
    *,
    note: str = "",
    beside: str = "Kafka",
) -> Row:
    """The row of one metric over all pairs; its judged value is the median of the ratios."""
    found = spread(ratios(pairs, metric.key))
    return Row(
        title=metric.title,
        unit=metric.unit,
        beside=beside,
        other=spread([sample[metric.key] for sample, _ in pairs]),
        ours=spread([sample[metric.key] for _, sample in pairs]),
        ratio=found,
        target=metric.target,
        judged=found.median,
        note=note,
        byte_of=metric.byte_of,
    )


def _unsteady(side: Side, warm: Warm) -> str:
    if warm.steady:
        return ""
    values = ", ".join(f"{value:.4g}" for value in warm.values)
    return f"{side.name} was not steady after {len(warm.values)} warm-up rounds ({values})"
