"""Several members: some of them gone, frozen or without a leader."""

import asyncio
from collections.abc import Iterator

import pytest
from headrace.meta.store import Done, ModRevision, Put, Store, Unavailable

from e2e.rig.etcd import Etcd
from tests.integration.etcd.conftest import MakeStore
from tests.integration.etcd.test_watches import told


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with Etcd(tmp_path_factory.mktemp("three"), members=3) as etcd:
        yield etcd


async def count_up(store: Store, key: str, times: int) -> None:
    """Add 1 `times` times, each looked up until it is there."""
    done = 0
    while done < times:
        try:
            entry = await store.get(key)
        except Unavailable:
            await asyncio.sleep(0.05)
            continue
        have = 0 if entry is None else int(entry.value)
        if have > done:
            done = have
            continue
        revision = 0 if entry is None else entry.mod_revision
        outcome = await store.txn([ModRevision(key, revision)], [Put(key, b"%d" % (done + 1))])
        done += isinstance(outcome, Done)


async def test_counting_goes_on_while_the_leader_freezes(
    three: Etcd, make_store: MakeStore
) -> None:
    store = make_store(three, request_timeout_ms=700, progress_interval_ms=200)
    start = (await store.snapshot("/")).revision
    changes = store.watch("/n", start)
    counting = asyncio.ensure_future(count_up(store, "/n", 40))
    first = await told(changes, 10)
    leader = await asyncio.to_thread(three.leader)
    three.pause(leader)
    try:
        rest = await told(changes, 30)
        await asyncio.wait_for(counting, 60)
    finally:
        three.resume(leader)
    revisions = first + rest
    assert revisions == sorted(set(revisions))
    entry = await store.get("/n")
    assert entry is not None and entry.value == b"40"
