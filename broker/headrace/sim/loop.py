"""An event loop whose time stands still and whose threads work when they are told to.

Only what the flusher asks of a loop is here. A simulation decides when callbacks run (`turn`),
when a job that went to a thread is done (`work`), and what time it is (`now_ms`).
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any


class SimLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order in which they became due. An exception ends the simulation."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self._jobs: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()

    # What a simulation does to it.

    def turn(self) -> None:
        """Run what is ready and what is due by now, and what comes of that."""
        while self._timers and self._timers[0].when() <= self.time():
            self._ready.append(heapq.heappop(self._timers))
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def work(self) -> bool:
        """Do the oldest job of a thread; its callback comes with the next turn. False: none."""
        if not self._jobs:
            return False
        done, job = self._jobs.popleft()
        done.set_result(job())
        return True

    def settle(self) -> None:
        """Turn and work until nothing is left that is due by now."""
        self.turn()
        while self.work():
            self.turn()

    # asyncio's side.

    def time(self) -> float:
        return self.now_ms / 1000

    def call_soon(  # type: ignore[override]  # in asyncio's stubs the three are generic
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        heapq.heappush(self._timers, handle)
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.Future(loop=self)
        self._jobs.append((done, lambda: func(*args)))
        return done

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise context["exception"]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio's handles tell; a cancelled one is passed over when its turn comes."""
