"""Which key is worked on next: the work queue's rules, without a clock or a task.

A key is in one place: waiting (urgent or in the background), running, resting until a moment, or
unknown. What is added while it runs makes it run once more. Keys are grouped in lanes (a lane a
Cluster): lanes take turns and none may hold more than its share of the workers, so a Cluster
that answers slowly holds up nobody else.
"""

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from headrace.base.invariant import invariant

from headrace_operator.kinds import Key

BACKOFF_FIRST_MS: Final = 500
BACKOFF_MAX_MS: Final = 60_000
"""What was mended is noticed within a minute even where no event tells."""

FAILED_PAUSE_MS: Final = 1_000
"""A key that failed rests so long even where events ask for it, or a reconcile that changes
something and then fails would wake itself without end."""

BACKGROUND_SHARE: Final = 8
"""Every eighth key of a lane comes from the background, so urgent ones cannot starve it."""


class _State(Enum):
    RESTING = "resting"
    URGENT = "urgent"
    BACKGROUND = "background"
    RUNNING = "running"


@dataclass(slots=True)
class _Entry:
    """One key. Mutable: it is the schedule's inside."""

    lane: Hashable
    state: _State = _State.RESTING
    since_ms: int = 0
    due_ms: int | None = None
    not_before_ms: int = 0
    failures: int = 0
    again: _State | None = None


@dataclass(slots=True)
class _Lane:
    urgent: dict[Key, None] = field(default_factory=dict)
    background: dict[Key, None] = field(default_factory=dict)
    running: int = 0
    taken: int = 0

    def next_key(self) -> Key:
        queues = [self.urgent, self.background]
        if self.taken % BACKGROUND_SHARE == BACKGROUND_SHARE - 1:
            queues.reverse()
        self.taken += 1
        queue = next(queue for queue in queues if queue)
        key = next(iter(queue))
        del queue[key]
        return key


class Schedule:
    """The queue's state. `jitter` gives numbers in [0, 1); times are milliseconds of one clock
    that never goes back."""

    def __init__(self, *, lane_limit: int, jitter: Callable[[], float]) -> None:
        self._lane_limit = lane_limit
        self._jitter = jitter
        self._entries: dict[Key, _Entry] = {}
        self._lanes: dict[Hashable, _Lane] = {}
        self._turns: dict[Hashable, None] = {}
        """Lanes that could give a key now, in the order of their turns."""
        self._timers: list[tuple[int, int, Key]] = []
        self._timer_count = 0
        self.waiting = 0
        self.running = 0

    def add(self, key: Key, lane: Hashable, now_ms: int, *, background: bool = False) -> None:
        """Work on the key as soon as may be. Adding what already waits changes nothing, but
        brings it forward where it waited in the background."""
        entry = self._entries.setdefault(key, _Entry(lane))
        wanted = _State.BACKGROUND if background else _State.URGENT
        if entry.state is _State.RUNNING:
            if entry.again is not _State.URGENT:
                entry.again = wanted
        elif entry.state is _State.RESTING:
            if entry.not_before_ms > now_ms:
                self._rest(key, entry, entry.not_before_ms)
            else:
                self._wait(key, entry, wanted, now_ms)
        elif entry.state is _State.BACKGROUND and not background:
            del self._lanes[entry.lane].background[key]
            self._lanes[entry.lane].urgent[key] = None
            entry.state = _State.URGENT

    def add_at(self, key: Key, lane: Hashable, at_ms: int) -> None:
        """Work on the key at that moment, or earlier where an earlier one was asked for."""
        entry = self._entries.setdefault(key, _Entry(lane))
        if entry.state is _State.RESTING:
            self._rest(key, entry, max(at_ms, entry.not_before_ms))
        elif entry.state is _State.RUNNING:
            entry.due_ms = at_ms if entry.due_ms is None else min(entry.due_ms, at_ms)

    def take(self, now_ms: int) -> Key | None:
        """The next key to work on, or None. The caller owes one `done` or `failed` for it."""
        self._wake(now_ms)
        for name in self._turns:
            lane = self._lanes[name]
            key = lane.next_key()
            entry = self._entries[key]
            entry.state, entry.since_ms, entry.due_ms = _State.RUNNING, now_ms, None
            lane.running += 1
            self.waiting -= 1
            self.running += 1
            del self._turns[name]
            self._offer(name, lane)
            return key
        return None

    def done(self, key: Key, now_ms: int, again_ms: int | None = None) -> None:
        """Work on the key succeeded; `again_ms` later it wants another look."""
        entry = self._stopped(key)
        entry.failures = entry.not_before_ms = 0
        if again_ms is not None:
            at = now_ms + again_ms
            entry.due_ms = at if entry.due_ms is None else min(entry.due_ms, at)
        if entry.again is not None:
            self._wait(key, entry, entry.again, now_ms)
        elif entry.due_ms is not None:
            self._rest(key, entry, entry.due_ms)
        else:
            del self._entries[key]

    def failed(self, key: Key, now_ms: int) -> None:
        """Work on the key failed: it rests, longer with each failure in a row."""
        entry = self._stopped(key)
        entry.failures += 1
        backoff = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << min(entry.failures - 1, 16))
        backoff = round(backoff * (0.5 + self._jitter() / 2))
        entry.not_before_ms = now_ms + min(backoff, FAILED_PAUSE_MS)
        entry.due_ms = None
        asked = entry.again is not None
        entry.again = None
        self._rest(key, entry, entry.not_before_ms if asked else now_ms + backoff)

    def next_ms(self) -> int | None:
        """When the next resting key is due; None where none rests."""
        while self._timers and not self._is_due_timer(self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def longest_wait_ms(self, now_ms: int) -> int:
        """How long the key that waits longest has waited."""
        return self._oldest(now_ms, (_State.URGENT, _State.BACKGROUND))

    def longest_run_ms(self, now_ms: int) -> int:
        """How long the key that runs longest has run."""
        return self._oldest(now_ms, (_State.RUNNING,))

    def _oldest(self, now_ms: int, states: tuple[_State, ...]) -> int:
        since = [entry.since_ms for entry in self._entries.values() if entry.state in states]
        return now_ms - min(since, default=now_ms)

    def _wait(self, key: Key, entry: _Entry, state: _State, now_ms: int) -> None:
        entry.state, entry.since_ms, entry.due_ms, entry.again = state, now_ms, None, None
        lane = self._lanes.setdefault(entry.lane, _Lane())
        (lane.urgent if state is _State.URGENT else lane.background)[key] = None
        self.waiting += 1
        self._offer(entry.lane, lane)

    def _rest(self, key: Key, entry: _Entry, at_ms: int) -> None:
        if entry.due_ms is None or at_ms < entry.due_ms or entry.state is not _State.RESTING:
            entry.due_ms = at_ms
            self._timer_count += 1
            heapq.heappush(self._timers, (at_ms, self._timer_count, key))
        entry.state = _State.RESTING

    def _wake(self, now_ms: int) -> None:
        while (at_ms := self.next_ms()) is not None and at_ms <= now_ms:
            _, _, key = heapq.heappop(self._timers)
            self._wait(key, self._entries[key], _State.URGENT, now_ms)

    def _is_due_timer(self, timer: tuple[int, int, Key]) -> bool:
        entry = self._entries.get(timer[2])
        return entry is not None and entry.state is _State.RESTING and entry.due_ms == timer[0]

    def _offer(self, name: Hashable, lane: _Lane) -> None:
        """Give the lane a turn if it has a key to give and room to run it."""
        if (lane.urgent or lane.background) and lane.running < self._lane_limit:
            self._turns.setdefault(name)
        elif not lane.running and not lane.urgent and not lane.background:
            self._lanes.pop(name, None)

    def _stopped(self, key: Key) -> _Entry:
        entry = self._entries.get(key)
        invariant(
            entry is not None and entry.state is _State.RUNNING, "a key stops that ran", key=key
        )
        assert entry is not None
        lane = self._lanes[entry.lane]
        lane.running -= 1
        self.running -= 1
        self._offer(entry.lane, lane)
        return entry
