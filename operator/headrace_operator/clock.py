"""The machine's clocks."""

import time
from typing import Final

_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts the time a machine is suspended too, where Linux offers it: a lease runs on meanwhile."""


class SystemClock:
    """Implements headrace.base.clock.Clock."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000
