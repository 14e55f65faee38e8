"""Time that a coroutine keeps the loop is counted; what it waits for is not."""

import asyncio
import time

import pytest
from headrace.server.loop_time import LoopTime


async def test_work_counts_and_waiting_does_not() -> None:
    turn = asyncio.Event()

    async def handling() -> str:
        _busy(0.01)
        await turn.wait()
        _busy(0.01)
        return "done"

    timed = LoopTime(handling())
    task = asyncio.ensure_future(timed)
    await asyncio.sleep(0)
    _busy(0.2)
    turn.set()
    assert await task == "done"
    assert 0.02 <= timed.spent_ns / 1e9 < 0.15


async def test_exceptions_pass_in_both_directions() -> None:
    ended = []

    async def handling() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    task = asyncio.ensure_future(LoopTime(handling()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await LoopTime(failing())


def _busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
