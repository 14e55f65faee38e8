"""Says that readers meet damage in a log, to the one who can mend it: a line and a metric.

The client that reads there is told with CORRUPT_MESSAGE, at each try. The line comes once a
minute and partition, however often its readers ask.
"""

from typing import Final

import structlog

from headrace.base.clock import Clock
from headrace.storage.disk import Damaged
from headrace.storage.recovery import Recovered

log = structlog.get_logger("headrace.log")

_SAY_EVERY_MS: Final = 60_000
_PARTITIONS_MAX: Final = 1000
"""Whose lines are remembered; beyond it the eldest may be said again too soon."""


class Damage:
    """Mutable; owned by the event loop."""

    __slots__ = ("_clock", "_said_ms", "cut_bytes", "reads")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said_ms: dict[str, int] = {}
        self.reads = 0
        """That could not be answered because of damage, since the start."""
        self.cut_bytes = 0
        """That recovery took from the ends of logs, since the start."""

    def cut(self, partition: str, recovered: Recovered) -> None:
        """Recovery found the end of a log not whole. After a kill there is nothing to cut."""
        self.cut_bytes += recovered.cut_bytes
        log.warning(
            "the end of a log was not whole and is cut",
            partition=partition,
            bytes=recovered.cut_bytes,
            because=recovered.cut_because,
        )

    def met(self, partition: str, wanted: str, damage: Damaged) -> None:
        """A read of `partition` from `wanted` on ended in it."""
        self.reads += 1
        now_ms, said_ms = self._clock.monotonic_ms(), self._said_ms.get(partition)
        if said_ms is not None and now_ms - said_ms < _SAY_EVERY_MS:
            return
        self._said_ms.pop(partition, None)
        if len(self._said_ms) >= _PARTITIONS_MAX:
            del self._said_ms[next(iter(self._said_ms))]
        self._said_ms[partition] = now_ms
        log.error(
            "records are damaged and cannot be read; the rest of the partition is served",
            partition=partition,
            wanted=wanted,
            damage=str(damage),
        )
