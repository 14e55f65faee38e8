"""Watches over broken connections, restarts, silence and compaction."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from headrace.meta.store import Change, Compacted, Put, Store

from e2e.rig.etcd import Etcd
from tests.integration.etcd.conftest import MakeStore
from tests.integration.etcd.proxy import Proxy
from tests.store_contract import put

WITHIN_S = 30


async def told(changes: AsyncIterator[tuple[Change, ...]], count: int) -> list[int]:
    """The revisions of the next `count` items."""
    async with asyncio.timeout(WITHIN_S):
        return [(await anext(changes))[0].revision for _ in range(count)]


async def test_a_watch_goes_on_where_its_connection_broke(
    etcd: Etcd, store: Store, make_store: MakeStore
) -> None:
    async with await Proxy.open(etcd.endpoints[0]) as proxy:
        behind = make_store(etcd, endpoints=(proxy.address,), request_timeout_ms=500)
        start = await put(store, "/w/0")
        changes = behind.watch("/w/", start)
        expected = [await put(store, "/w/1")]
        assert await told(changes, 1) == expected
        for _ in range(3):
            await proxy.down()
            expected = [await put(store, f"/w/{n}") for n in range(5)]
            await proxy.up()
            expected += [await put(store, f"/w/{n}") for n in range(5)]
            assert await told(changes, 10) == expected


async def test_a_silent_watch_is_left_for_a_new_one(
    etcd: Etcd, store: Store, make_store: MakeStore
) -> None:
    """The first stream never answers again, while its connection stays open."""
    async with await Proxy.open(etcd.endpoints[0]) as proxy:
        behind = make_store(
            etcd,
            endpoints=(proxy.address, etcd.endpoints[0]),
            request_timeout_ms=500,
            progress_interval_ms=100,
        )
        start = await put(store, "/w/0")
        changes = behind.watch("/w/", start)
        assert await told(changes, 0) == []
        one = await put(store, "/w/1")
        assert await told(changes, 1) == [one]
        proxy.answers.clear()
        two = await put(store, "/w/2")
        assert await told(changes, 1) == [two]
        proxy.answers.set()


async def test_an_idle_watch_lives_on_and_keeps_its_place(
    etcd: Etcd, store: Store, make_store: MakeStore
) -> None:
    """Signs of life move its place, so compaction of what it need not see does not end it."""
    async with await Proxy.open(etcd.endpoints[0]) as proxy:
        behind = make_store(
            etcd, endpoints=(proxy.address,), request_timeout_ms=500, progress_interval_ms=100
        )
        start = await put(store, "/w/0")
        changes = behind.watch("/w/", start)
        waiting = asyncio.ensure_future(told(changes, 1))
        for _ in range(5):
            last = await put(store, "/elsewhere")
        etcd.control("get", "/w/0")
        proxy.asked.clear()
        # Signs of life are asked for again and again; of so many some are answered, even where a
        # slow machine took the stream for silent and all of a new one passed here in between.
        for _ in range(25):
            async with asyncio.timeout(WITHIN_S):
                await proxy.asked.wait()
            proxy.asked.clear()
        await proxy.down()
        etcd.control("compact", str(last))
        await proxy.up()
        one = await put(store, "/w/1")
        assert await waiting == [one]


async def test_a_watch_that_missed_compacted_changes_says_so(
    etcd: Etcd, store: Store, make_store: MakeStore
) -> None:
    async with await Proxy.open(etcd.endpoints[0]) as proxy:
        behind = make_store(etcd, endpoints=(proxy.address,), request_timeout_ms=500)
        start = await put(store, "/w/0")
        changes = behind.watch("/w/", start)
        one = await put(store, "/w/1")
        assert await told(changes, 1) == [one]
        await proxy.down()
        for _ in range(5):
            last = await put(store, "/w/2")
        etcd.control("compact", str(last))
        await proxy.up()
        with pytest.raises(Compacted):
            await told(changes, 1)


async def test_many_changes_of_one_revision_come_together(store: Store) -> None:
    """Larger than what etcd puts into one message: it comes in fragments."""
    start = await put(store, "/w/0")
    changes = store.watch("/w/", start)
    for _ in range(3):
        await store.txn([], [Put(f"/w/{n:03}", bytes(10_000)) for n in range(120)])
    for _ in range(3):
        async with asyncio.timeout(WITHIN_S):
            assert len(await anext(changes)) == 120
