"""Transactions whose answer is lost, and reads that get none: what the store says then."""

import asyncio

from headrace.meta.store import (
    CreateRevision,
    Done,
    ModRevision,
    Outcome,
    Put,
    Store,
    Unavailable,
    Unknown,
)

from e2e.rig.etcd import Etcd
from tests.integration.etcd.conftest import MakeStore
from tests.integration.etcd.proxy import Proxy
from tests.store_contract import put

SHORT_MS = 400


async def test_a_transaction_whose_answer_is_lost_is_unknown_and_was_sent_once(
    etcd: Etcd, store: Store, make_store: MakeStore
) -> None:
    async with await Proxy.open(etcd.endpoints[0]) as proxy:
        behind = make_store(etcd, endpoints=(proxy.address,), request_timeout_ms=SHORT_MS)
        await put(behind, "/early")
        proxy.answers.clear()
        outcome = await behind.txn([CreateRevision("/new", 0)], [Put("/new", b"1")])
        assert isinstance(outcome, Unknown)
        assert proxy.address in outcome.why or "no answer in time" in outcome.why
        entry = await store.get("/new")
        assert entry is not None and entry.value == b"1"
        assert entry.create_revision == entry.mod_revision
        proxy.answers.set()
        seen = await answered(behind, "/new")
        assert seen == entry


async def answered(store: Store, key: str) -> object:
    """The entry, as soon as the store answers again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await store.get(key)
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_frozen_etcd_makes_reads_unavailable_and_transactions_unknown(
    etcd: Etcd, make_store: MakeStore
) -> None:
    store = make_store(etcd, request_timeout_ms=SHORT_MS)
    revision = await put(store, "/a", b"0")
    etcd.pause()
    try:
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcome = await store.txn([ModRevision("/a", revision)], [Put("/a", b"1")])
        assert isinstance(outcome, Unknown)
        for call in (
            store.get("/a"),
            store.snapshot("/"),
            store.grant_lease(5_000),
            store.keep_alive(1),
        ):
            try:
                await call
            except Unavailable as error:
                assert etcd.endpoints[0] in str(error)
            else:
                raise AssertionError("a frozen etcd answered")
        assert loop.time() - began < 10
    finally:
        etcd.resume()
    await answered(store, "/a")
    entry = await store.get("/a")
    assert entry is not None
    # Applied or not, the guard lets one of the two attempts through, and only one.
    again = await store.txn([ModRevision("/a", revision)], [Put("/a", b"1")])
    after = await store.get("/a")
    assert after is not None and after.value == b"1" and after.mod_revision > revision
    assert isinstance(again, Done) == (entry.mod_revision == revision)


async def test_counters_lose_nothing_while_answers_are_lost(
    etcd: Etcd, store: Store, make_store: MakeStore
) -> None:
    """Each Unknown is looked up before the next try, as the controller does."""
    async with await Proxy.open(etcd.endpoints[0]) as proxy:
        behind = make_store(etcd, endpoints=(proxy.address,), request_timeout_ms=SHORT_MS)
        outcomes: list[Outcome] = []
        for number in range(1, 13):
            if number % 4 == 0:
                proxy.answers.clear()
            while True:
                entry = await store.get("/n")
                if entry is not None and int(entry.value) == number:
                    break
                revision = 0 if entry is None else entry.mod_revision
                write = Put("/n", str(number).encode())
                outcomes.append(await behind.txn([ModRevision("/n", revision)], [write]))
                proxy.answers.set()
        entry = await store.get("/n")
        assert entry is not None and entry.value == b"12"
        assert sum(isinstance(outcome, Unknown) for outcome in outcomes) >= 3
