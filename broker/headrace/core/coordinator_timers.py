"""Timers of a shard, by key, behind one deadline: setting one that is set is one dict store.

A member's session is extended at each heartbeat, so the heap is not touched then: its entry
stays where it is and is looked at again when it comes up.
"""

from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """Mutable. Times are monotonic milliseconds."""

    __slots__ = ("_due", "_heap", "_sequence")

    def __init__(self) -> None:
        self._due: dict[K, tuple[int, int]] = {}
        """The time it is due, and the time of its entry in the heap (at or before that)."""
        self._heap: list[tuple[int, int, K]] = []
        self._sequence = 0

    def set(self, key: K, due_ms: int) -> None:
        """Set or move the timer of `key`."""
        old = self._due.get(key)
        if old is not None and old[1] <= due_ms:
            self._due[key] = (due_ms, old[1])
            return
        self._due[key] = (due_ms, due_ms)
        # The sequence keeps timers of one moment in the order they were set.
        self._sequence += 1
        heappush(self._heap, (due_ms, self._sequence, key))

    def cancel(self, key: K) -> None:
        """Forget a timer; absent is fine."""
        self._due.pop(key, None)
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._due):
            self._rebuild()

    def get(self, key: K) -> int | None:
        """When the timer of `key` is due."""
        due = self._due.get(key)
        return None if due is None else due[0]

    def deadline(self) -> int | None:
        """A moment at or before the next timer's."""
        while self._heap:
            at, _, key = self._heap[0]
            due = self._due.get(key)
            if due is not None and due[1] == at:
                return at
            heappop(self._heap)
        return None

    def pop_due(self, now_ms: int) -> K | None:
        """Remove and return the first timer that is due by now, or None."""
        while self._heap and self._heap[0][0] <= now_ms:
            at, _, key = heappop(self._heap)
            due = self._due.get(key)
            if due is None or due[1] != at:
                continue
            if due[0] <= now_ms:
                del self._due[key]
                return key
            self._sequence += 1
            heappush(self._heap, (due[0], self._sequence, key))
            self._due[key] = (due[0], due[0])
        return None

    def __len__(self) -> int:
        return len(self._due)

    def _rebuild(self) -> None:
        """Drop entries of timers long cancelled, so that the heap stays near the timers' number."""
        self._heap = []
        for key, (due_ms, _) in self._due.items():
            self._due[key] = (due_ms, due_ms)
            self._sequence += 1
            heappush(self._heap, (due_ms, self._sequence, key))
