"""What every adapter of the metadata store must do.

A test module makes fixtures `store` and `compact` and imports every test from here: in tests/unit
for the embedded and the simulated one, in tests/integration for a real etcd. Keys that a test
finds are its own: the store is empty, whatever its revision.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from headrace.base.invariant import Bug
from headrace.meta.store import (
    OPERATIONS_MAX,
    Change,
    Compacted,
    Conflict,
    CreateRevision,
    Delete,
    Done,
    ModRevision,
    Put,
    Store,
    Unavailable,
)

Compact = Callable[[Store], Awaitable[Store]]
"""Forget all history; returns the store to go on with."""


async def put(store: Store, key: str, value: bytes = b"v", lease: int = 0) -> int:
    outcome = await store.txn([], [Put(key, value, lease)])
    assert isinstance(outcome, Done)
    return outcome.revision


async def first(changes: AsyncIterator[tuple[Change, ...]]) -> tuple[Change, ...]:
    return await asyncio.wait_for(anext(changes), 5)


async def test_a_key_keeps_its_create_revision_until_it_is_deleted(store: Store) -> None:
    created = await put(store, "/a", b"1")
    changed = await put(store, "/a", b"2")
    entry = await store.get("/a")
    assert entry is not None
    assert (entry.value, entry.create_revision, entry.mod_revision) == (b"2", created, changed)
    assert changed == created + 1
    await store.txn([], [Delete("/a")])
    assert await store.get("/a") is None
    again = await put(store, "/a", b"3")
    entry = await store.get("/a")
    assert entry is not None and entry.create_revision == again


async def test_a_snapshot_is_sorted_and_has_only_its_prefix(store: Store) -> None:
    for key in ("/p/b", "/p/a", "/q/a", "/p/a/x", "/p"):
        revision = await put(store, key)
    snapshot = await store.snapshot("/p/")
    assert [entry.key for entry in snapshot.entries] == ["/p/a", "/p/a/x", "/p/b"]
    assert snapshot.revision == revision


async def test_all_of_a_transaction_happens_at_one_revision_or_nothing(store: Store) -> None:
    await put(store, "/old")
    done = await store.txn(
        [ModRevision("/new", 0)], [Put("/new", b"1"), Put("/other", b"2"), Delete("/old")]
    )
    assert isinstance(done, Done)
    new, other = await store.get("/new"), await store.get("/other")
    assert new is not None and other is not None
    assert new.mod_revision == other.mod_revision == done.revision
    refused = await store.txn([ModRevision("/new", 0)], [Put("/other", b"x"), Delete("/new")])
    assert refused == Conflict(done.revision)
    assert await store.get("/other") == other
    assert await store.get("/old") is None


async def test_guards_compare_the_revision_they_name(store: Store) -> None:
    created = await put(store, "/a")
    changed = await put(store, "/a")
    for guard, holds in (
        (ModRevision("/a", changed), True),
        (ModRevision("/a", created), False),
        (ModRevision("/a", 0), False),
        (CreateRevision("/a", created), True),
        (CreateRevision("/a", changed), False),
        (CreateRevision("/absent", 0), True),
        (CreateRevision("/absent", created), False),
    ):
        outcome = await store.txn([guard], [])
        assert isinstance(outcome, Done if holds else Conflict), guard


async def test_deleting_what_is_absent_changes_nothing(store: Store) -> None:
    revision = await put(store, "/a")
    assert await store.txn([], [Delete("/absent")]) == Done(revision, changed=False)
    assert await store.txn([ModRevision("/a", revision)], []) == Done(revision, changed=False)
    assert await store.txn([], [Delete("/a")]) == Done(revision + 1)


async def test_a_watch_tells_each_revision_once_in_order(store: Store) -> None:
    before = await put(store, "/w/early")
    changes = store.watch("/w/", before)
    one = await put(store, "/w/a")
    await put(store, "/elsewhere")
    done = await store.txn([], [Put("/w/b", b""), Delete("/w/a"), Put("/elsewhere", b"")])
    assert isinstance(done, Done)
    told = await first(changes)
    assert [(c.key, c.revision) for c in told] == [("/w/a", one)]
    told = await first(changes)
    assert [(c.key, c.entry is None, c.revision) for c in told] == [
        ("/w/b", False, done.revision),
        ("/w/a", True, done.revision),
    ]
    waiting = asyncio.ensure_future(first(changes))
    later = await put(store, "/w/c")
    assert [c.revision for c in await waiting] == [later]


async def test_two_watches_do_not_take_from_each_other(store: Store) -> None:
    start = await put(store, "/x")
    left, right = store.watch("/", start), store.watch("/", start)
    revision = await put(store, "/y")
    assert (await first(left))[0].revision == (await first(right))[0].revision == revision


async def test_a_lease_takes_its_keys_along(store: Store) -> None:
    lease, other = await store.grant_lease(60_000), await store.grant_lease(60_000)
    await put(store, "/l/a", lease=lease)
    await put(store, "/l/b", lease=lease)
    last = await put(store, "/l/c", lease=other)
    changes = store.watch("/l/", last)
    await store.revoke_lease(lease)
    told = await first(changes)
    assert sorted(c.key for c in told) == ["/l/a", "/l/b"]
    assert all(c.entry is None for c in told)
    assert [e.key for e in (await store.snapshot("/l/")).entries] == ["/l/c"]
    assert await store.keep_alive(other)
    assert not await store.keep_alive(lease)
    await store.revoke_lease(lease)


async def test_a_key_put_without_its_lease_outlives_it(store: Store) -> None:
    lease = await store.grant_lease(60_000)
    await put(store, "/k", lease=lease)
    await put(store, "/k")
    await store.revoke_lease(lease)
    assert await store.get("/k") is not None


async def test_a_silent_lease_ends_and_a_renewed_one_does_not(store: Store) -> None:
    start = await put(store, "/start")
    silent, renewed = await store.grant_lease(50), await store.grant_lease(60_000)
    await put(store, "/silent", lease=silent)
    await put(store, "/renewed", lease=renewed)
    changes = store.watch("/silent", start)
    assert (await first(changes))[0].entry is not None
    assert (await first(changes))[0].entry is None
    assert await store.get("/renewed") is not None


async def test_a_put_under_an_ended_lease_is_a_conflict(store: Store) -> None:
    lease = await store.grant_lease(60_000)
    await store.revoke_lease(lease)
    assert isinstance(await store.txn([], [Put("/k", b"", lease)]), Conflict)
    assert await store.get("/k") is None


async def test_a_transaction_has_a_bound_and_writes_a_key_once(store: Store) -> None:
    puts = [Put(f"/{n}", b"") for n in range(OPERATIONS_MAX)]
    assert isinstance(await store.txn([], puts), Done)
    with pytest.raises(Bug):
        await store.txn([ModRevision("/guard", 0)], puts)
    with pytest.raises(Bug):
        await store.txn([], [Put("/a", b""), Delete("/a")])


async def test_concurrent_counters_lose_nothing(store: Store) -> None:
    async def add(times: int) -> None:
        done = 0
        while done < times:
            entry = await store.get("/n")
            number = 0 if entry is None else int(entry.value)
            guard = ModRevision("/n", 0 if entry is None else entry.mod_revision)
            outcome = await store.txn([guard], [Put("/n", str(number + 1).encode())])
            done += isinstance(outcome, Done)

    await asyncio.gather(*(add(10) for _ in range(4)))
    entry = await store.get("/n")
    assert entry is not None and entry.value == b"40"


async def test_a_closed_store_is_unavailable(store: Store) -> None:
    await store.close()
    with pytest.raises(Unavailable):
        await store.get("/a")


async def test_a_put_under_an_ended_lease_leaves_nothing_beside_it(store: Store) -> None:
    lease = await store.grant_lease(60_000)
    await store.revoke_lease(lease)
    assert isinstance(await store.txn([], [Put("/a", b""), Put("/k", b"", lease)]), Conflict)
    assert (await store.snapshot("/")).entries == ()


async def test_a_watch_from_before_history_is_compacted(store: Store, compact: Compact) -> None:
    revision = await put(store, "/a")
    for _ in range(2):
        await put(store, "/a")
    after = await compact(store)
    with pytest.raises(Compacted):
        await first(after.watch("/", revision))
    snapshot = await after.snapshot("/")
    changes = after.watch("/", snapshot.revision)
    last = await put(after, "/a")
    assert (await first(changes))[0].revision == last == snapshot.revision + 1
    await after.close()


async def test_a_large_snapshot_is_whole_and_at_one_revision(store: Store) -> None:
    """Larger than a page of any adapter, and read while it changes."""
    for start in range(0, 2_500, 125):
        outcome = await store.txn([], [Put(f"/s/{n:04}", b"0") for n in range(start, start + 125)])
        assert isinstance(outcome, Done)
    reading = asyncio.ensure_future(store.snapshot("/s/"))
    for _ in range(10):
        await store.txn([], [Put("/s/0000", b"1"), Put("/s/2499", b"1")])
    snapshot = await reading
    assert len(snapshot.entries) == 2_500
    assert snapshot.entries[0].mod_revision == snapshot.entries[-1].mod_revision or (
        {snapshot.entries[0].value, snapshot.entries[-1].value} == {b"0"}
    )
    assert max(e.mod_revision for e in snapshot.entries) <= snapshot.revision
