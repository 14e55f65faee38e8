"""Names of a request, once each: what repeats them must not get an answer many times its size."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

from headrace.wire.framing import ProtocolError

T = TypeVar("T")

ITEMS_MAX: Final = 100_000
"""Groups, or partitions of one group, in one request: each costs microseconds of the loop, and
no cluster has so many that one client asks for at once."""
_ITEMS_A_TURN: Final = 200
"""Then the loop has its turn."""


async def named_once(names: Iterable[T]) -> AsyncIterator[T]:
    """Each name at its first place. Raises ProtocolError above `ITEMS_MAX`."""
    kept = dict.fromkeys(names)
    within(len(kept))
    for number, name in enumerate(kept, 1):
        yield name
        if number % _ITEMS_A_TURN == 0:
            await asyncio.sleep(0)


def within(items: int) -> None:
    """Raises ProtocolError where one request names more than `ITEMS_MAX`."""
    if items > ITEMS_MAX:
        raise ProtocolError(f"{items} groups or partitions in one request (most {ITEMS_MAX})")
