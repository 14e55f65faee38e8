"""How long a coroutine keeps the loop, not counting what it waits."""

from collections.abc import Coroutine, Generator
from time import perf_counter_ns
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class LoopTime(Generic[T]):
    """`await LoopTime(coroutine)` gives what the coroutine gives; `spent_ns` grows meanwhile."""

    __slots__ = ("_coroutine", "spent_ns")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.spent_ns = 0

    def __await__(self) -> Generator[Any, Any, T]:
        step, given = self._coroutine.send, None
        while True:
            began_ns = perf_counter_ns()
            try:
                awaited = step(given)
            except StopIteration as end:
                value: T = end.value
                return value
            finally:
                self.spent_ns += perf_counter_ns() - began_ns
            try:
                given, step = (yield awaited), self._coroutine.send
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as thrown:
                given, step = thrown, self._coroutine.throw
