"""The longest stall of the event loop, as a metric: what a client feels as latency."""

import asyncio
from collections import deque

_TICK_S = 0.05
_WINDOW_S = 60.0


class LoopWatch:
    """Measures how late a timer fires."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stalls: deque[tuple[float, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        due = self._loop.time() + _TICK_S
        self._timer = self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        late = now - due
        stalls = self._stalls
        while stalls and stalls[-1][1] <= late:
            stalls.pop()
        stalls.append((now, late))
        while stalls[0][0] < now - _WINDOW_S:
            stalls.popleft()
        self.start()

    def worst_seconds(self) -> float:
        """The longest delay of the last minute."""
        return self._stalls[0][1] if self._stalls else 0.0

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
