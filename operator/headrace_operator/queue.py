"""The work queue: keys in, at most one task a key, a bounded number of tasks in all."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from headrace.base.clock import Clock

from headrace_operator.kinds import Key
from headrace_operator.schedule import Schedule

Work = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns the seconds until it wants another look, None for never. Raises to be
tried again with backoff."""

__all__ = ["Key", "Queue", "Work"]


class Queue:
    """Adding is allowed at any time; work happens only inside `run`."""

    def __init__(
        self,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        lane_of: Callable[[Key], Hashable],
        workers: int,
        lane_workers: int,
    ) -> None:
        """`lane_of` names the group a key takes turns in; `workers` bounds the keys worked on at
        once, `lane_workers` those of one lane."""
        self._clock = clock
        self._lane_of = lane_of
        self._workers = workers
        self._schedule = Schedule(lane_limit=lane_workers, jitter=jitter)
        self._work: Work | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._broken: asyncio.Future[None] | None = None

    def add(self, key: Key, *, background: bool = False) -> None:
        """Look at the key as soon as a worker is free; `background` lets others go first."""
        self._schedule.add(
            key, self._lane_of(key), self._clock.monotonic_ms(), background=background
        )
        self._pump()

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at the key that many seconds from now, or earlier if something asks for it."""
        at_ms = self._clock.monotonic_ms() + round(seconds * 1000)
        self._schedule.add_at(key, self._lane_of(key), at_ms)
        self._pump()

    @property
    def waiting(self) -> int:
        return self._schedule.waiting

    @property
    def running(self) -> int:
        return self._schedule.running

    def longest_wait_seconds(self) -> float:
        return self._schedule.longest_wait_ms(self._clock.monotonic_ms()) / 1000

    def longest_run_seconds(self) -> float:
        return self._schedule.longest_run_ms(self._clock.monotonic_ms()) / 1000

    async def run(self, work: Work) -> None:
        """Work until cancelled; then the tasks under way are cancelled and waited for.

        Raises what `work` raised beyond Exception: a bug of ours, which ends the process.
        """
        self._work = work
        self._broken = asyncio.get_running_loop().create_future()
        self._pump()
        try:
            await self._broken
        finally:
            self._work = None
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _pump(self) -> None:
        """Start what may start, and set the alarm for what is due next."""
        if self._work is None:
            return
        now_ms = self._clock.monotonic_ms()
        while self._schedule.running < self._workers:
            key = self._schedule.take(now_ms)
            if key is None:
                break
            task = asyncio.create_task(self._one(key, self._work), name=str(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        next_ms = self._schedule.next_ms()
        if next_ms is not None:
            delay = max(0, next_ms - now_ms) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay, self._pump)

    async def _one(self, key: Key, work: Work) -> None:
        try:
            again = await work(key)
        except Exception:
            self._schedule.failed(key, self._clock.monotonic_ms())
        except asyncio.CancelledError:
            self._schedule.failed(key, self._clock.monotonic_ms())
            raise
        except BaseException as bug:
            self._schedule.failed(key, self._clock.monotonic_ms())
            if self._broken is not None and not self._broken.done():
                self._broken.set_exception(bug)
            return
        else:
            again_ms = None if again is None else round(again * 1000)
            self._schedule.done(key, self._clock.monotonic_ms(), again_ms)
        self._pump()
