"""Whose turn it is to change the metadata, and since when it was waited for."""

import asyncio


class Turn(asyncio.Lock):
    """Who waited behind a request that found the store away is told the same at once: each would
    find it out in ten seconds, one after the other.
    """

    asked_at = 0.0

    async def __aenter__(self) -> None:
        asked_at = asyncio.get_running_loop().time()
        await self.acquire()
        self.asked_at = asked_at
