"""Many callers, few requests: what is asked while a request is under way rides in the next.

A lone caller waits for nobody, and a thousand callers make ten requests of a hundred.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from headrace.base.invariant import invariant

Item = TypeVar("Item")
Answer = TypeVar("Answer")

BATCH_ITEMS_MAX: Final = 100
"""As Strimzi's Topic Operator has it: requests stay far below the brokers' 2 MiB frame."""


class Batcher(Generic[Item, Answer]):
    """Calls `send` with up to `items_max` items at a time, one call after the other.

    send: gives one answer for each item, in order; faults of the world are among the answers
    weigh: what an item counts for; a batch holds at most `weight_max`, or one item
    The waiting items are bounded by the callers: each waits for its own answer.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        items_max: int = BATCH_ITEMS_MAX,
        weigh: Callable[[Item], int] = lambda _: 1,
        weight_max: int = BATCH_ITEMS_MAX,
    ) -> None:
        self._send = send
        self._items_max = items_max
        self._weigh = weigh
        self._weight_max = weight_max
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Answer:
        """The answer for `item`."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await answer

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                # Callers that are ready in this turn of the loop ride along.
                await asyncio.sleep(0)
                batch = self._take()
                if batch:
                    await self._send_batch(batch)
        finally:
            self._sender = None
            while self._waiting:  # only where this task was cancelled
                self._waiting.popleft()[1].cancel()

    async def _send_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._send([item for item, _ in batch])
            invariant(len(answers) == len(batch), "one answer for each item")
        except BaseException as fault:
            for _, waiting in batch:
                if not waiting.done():
                    if isinstance(fault, asyncio.CancelledError):
                        waiting.cancel()
                    else:
                        waiting.set_exception(fault)
            if not isinstance(fault, Exception):
                raise
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)

    def _take(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        weight = 0
        while self._waiting and len(batch) < self._items_max:
            item, waiting = self._waiting[0]
            if waiting.done():  # its caller was cancelled
                self._waiting.popleft()
                continue
            weight += self._weigh(item)
            if batch and weight > self._weight_max:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def close(self) -> None:
        """Stop: callers that still wait are cancelled."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
