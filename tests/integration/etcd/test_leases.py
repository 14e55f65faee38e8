"""Leases that are lost: revoked by others, expired while etcd was away, all at once."""

import asyncio
from pathlib import Path

from headrace.meta.store import Conflict, Put, Store

from e2e.rig.etcd import Etcd
from tests.integration.etcd.conftest import MakeStore
from tests.integration.etcd.test_lost_answers import answered
from tests.store_contract import first, put


async def test_a_lease_that_somebody_revoked_cannot_be_renewed(etcd: Etcd, store: Store) -> None:
    lease = await store.grant_lease(60_000)
    await put(store, "/l", lease=lease)
    assert await store.keep_alive(lease)
    etcd.control("lease", "revoke", f"{lease:x}")
    assert not await store.keep_alive(lease)
    assert await store.get("/l") is None
    assert isinstance(await store.txn([], [Put("/l", b"", lease)]), Conflict)


async def test_a_renewed_lease_outlives_its_time(store: Store) -> None:
    """Renewed past three of its times, while one beside it ends."""
    kept, ended = await store.grant_lease(1_000), await store.grant_lease(1_000)
    await put(store, "/kept", lease=kept)
    last = await put(store, "/ended", lease=ended)
    changes = store.watch("/", last)
    gone = asyncio.ensure_future(anext(changes))
    loop = asyncio.get_running_loop()
    until = loop.time() + 3.5
    while loop.time() < until:
        assert await store.keep_alive(kept)
        await asyncio.sleep(0.3)
    assert [c.key for c in await gone] == ["/ended"]
    assert await store.get("/kept") is not None


async def test_all_leases_expire_at_once(tmp_path: Path, make_store: MakeStore) -> None:
    """etcd gives each its whole time again when it is back; nobody renews, and all end."""
    with Etcd(tmp_path) as etcd:
        store = make_store(etcd, request_timeout_ms=500)
        leases = [await store.grant_lease(1_000) for _ in range(20)]
        for number, lease in enumerate(leases):
            await put(store, f"/l/{number}", lease=lease)
        last = await put(store, "/other")
        await asyncio.to_thread(etcd.stop)
        await asyncio.to_thread(etcd.start)
        await answered(store, "/other")
        changes = store.watch("/l/", last)
        gone: set[str] = set()
        while len(gone) < len(leases):
            gone |= {c.key for c in await first(changes) if c.entry is None}
        assert not any([await store.keep_alive(lease) for lease in leases])
        assert await store.get("/other") is not None
