"""Tokens that come at a steady rate; who takes more than there are has to wait.

All quotas are kept by this one algorithm. Kafka keeps controller mutations so (KIP-599) and the
others by a rate over eleven sampled windows, which lets ten seconds' worth through at once and
forgets it all at once: its clients are 12 % over their limit in 30 s (ARCHITECTURE.md).
"""

from typing import Final

from headrace.base.units import INT32_MAX

_RATE_MAX: Final = float(1 << 53)
"""More is no limit, and beyond it a float no longer counts single tokens."""


class TokenBucket:
    """Begins full. Mutable: touched by every request that is limited.

    `rate` is in tokens a second; `burst_s` says how many seconds of it are kept for later.
    """

    __slots__ = ("_at_ms", "_burst_s", "_tokens", "rate")

    def __init__(self, rate: float, burst_s: float, now_ms: int) -> None:
        self.rate = min(rate, _RATE_MAX)
        self._burst_s = burst_s
        self._tokens = self.rate * burst_s
        self._at_ms = now_ms

    def take(self, amount: float, now_ms: int) -> None:
        """Take `amount`, also where that leaves a debt."""
        self._refill(now_ms)
        self._tokens -= amount

    def wait_ms(self, now_ms: int) -> int:
        """Milliseconds until there is no debt; 0 where there is none."""
        self._refill(now_ms)
        if self._tokens >= 0:
            return 0
        return int(min(0.5 - self._tokens / self.rate * 1000, INT32_MAX))

    def set_rate(self, rate: float, now_ms: int) -> None:
        """Go on at another rate; a debt stays, and is paid at the new one."""
        self._refill(now_ms)
        self.rate = min(rate, _RATE_MAX)
        self._tokens = min(self._tokens, self.rate * self._burst_s)

    def is_full(self, now_ms: int) -> bool:
        """Whether a new bucket would hold the same."""
        self._refill(now_ms)
        return self._tokens >= self.rate * self._burst_s

    def _refill(self, now_ms: int) -> None:
        elapsed_s = (now_ms - self._at_ms) / 1000
        self._tokens = min(self._tokens + self.rate * elapsed_s, self.rate * self._burst_s)
        self._at_ms = now_ms
