"""The queue's tasks: bounded, one a key, retried, and a bug ends them all."""

import asyncio
from collections import Counter

import pytest
from headrace.base.invariant import Bug
from headrace_operator.clock import SystemClock
from headrace_operator.kinds import TOPIC, Key
from headrace_operator.queue import Queue, Work


def key(number: int, lane: str = "a") -> Key:
    return Key(TOPIC, lane, f"t{number}")


def queue(workers: int = 4) -> Queue:
    return Queue(
        clock=SystemClock(),
        jitter=lambda: 0.0,
        lane_of=lambda found: found.namespace,
        workers=workers,
        lane_workers=workers,
    )


async def during(made: Queue, work: Work, done: asyncio.Event) -> None:
    running = asyncio.create_task(made.run(work))
    waiter = asyncio.create_task(done.wait())
    await asyncio.wait({running, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    running.cancel()
    await asyncio.gather(running, waiter, return_exceptions=True)


async def test_all_are_done_by_no_more_workers_than_allowed() -> None:
    made, done, seen = queue(workers=3), asyncio.Event(), Counter[Key]()
    busy: set[Key] = set()
    most = 0

    async def work(found: Key) -> None:
        nonlocal most
        assert found not in busy
        busy.add(found)
        most = max(most, len(busy))
        await asyncio.sleep(0)
        busy.remove(found)
        seen[found] += 1
        if len(seen) == 50:
            done.set()

    for number in range(50):
        made.add(key(number))
        made.add(key(number))
    await during(made, work, done)
    assert most == 3
    assert set(seen.values()) == {1}


async def test_nothing_runs_before_run_and_what_was_added_then_is_kept() -> None:
    made, done = queue(), asyncio.Event()
    made.add(key(1))
    assert (made.waiting, made.running) == (1, 0)

    async def work(found: Key) -> None:
        done.set()

    await during(made, work, done)
    assert done.is_set()
    assert made.waiting == 0


async def test_a_failure_is_tried_again() -> None:
    made, done = queue(), asyncio.Event()
    tries = 0

    async def work(found: Key) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("away")
        done.set()

    made.add(key(1))
    await during(made, work, done)
    assert tries == 2


async def test_a_look_that_was_asked_for_comes() -> None:
    made, done = queue(), asyncio.Event()
    looks = 0

    async def work(found: Key) -> float | None:
        nonlocal looks
        looks += 1
        if looks == 3:
            done.set()
        return 0.01

    made.add_after(key(1), 0.01)
    await during(made, work, done)
    assert looks == 3


async def test_a_bug_comes_out_of_run_and_ends_the_others() -> None:
    made = queue()
    cancelled = asyncio.Event()

    async def work(found: Key) -> None:
        if found == key(1):
            raise Bug("planted")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    made.add(key(2))
    made.add(key(1))
    with pytest.raises(Bug, match="planted"):
        await made.run(work)
    assert cancelled.is_set()
    assert made.running == 0


async def test_how_long_a_key_runs_is_seen() -> None:
    made, done = queue(), asyncio.Event()

    async def work(found: Key) -> None:
        await asyncio.sleep(0.05)
        assert made.longest_run_seconds() >= 0.04
        done.set()

    made.add(key(1))
    await during(made, work, done)
    assert done.is_set()
    assert made.longest_run_seconds() == 0
