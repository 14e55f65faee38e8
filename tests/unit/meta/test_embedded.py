"""The embedded store as a file: what a restart finds, and what it refuses."""

import sqlite3
from pathlib import Path

import pytest
from headrace.meta.embedded import EmbeddedStore, NewerFormat
from headrace.meta.store import Done, Put, Unavailable, Unknown


async def test_a_restart_finds_everything(tmp_path: Path) -> None:
    path = str(tmp_path / "metadata.sqlite")
    store = await EmbeddedStore.open(path)
    lease = await store.grant_lease(60_000)
    await store.txn([], [Put("/a", b"1"), Put("/b", b"2", lease)])
    before = await store.snapshot("/")
    await store.close()
    store = await EmbeddedStore.open(path)
    assert await store.snapshot("/") == before
    assert await store.keep_alive(lease)
    assert await store.grant_lease(60_000) == lease + 1
    await store.close()


async def test_a_lease_of_a_dead_process_ends_by_itself(tmp_path: Path) -> None:
    path = str(tmp_path / "metadata.sqlite")
    store = await EmbeddedStore.open(path)
    lease = await store.grant_lease(200)
    done = await store.txn([], [Put("/b", b"2", lease)])
    assert isinstance(done, Done)
    await store.close()
    store = await EmbeddedStore.open(path)
    async for changes in store.watch("/", done.revision):
        assert changes[0].entry is None
        break
    await store.close()


async def test_what_was_answered_is_on_the_disk(tmp_path: Path) -> None:
    """Another connection reads it, as a process started after a kill would."""
    path = tmp_path / "metadata.sqlite"
    store = await EmbeddedStore.open(str(path))
    await store.txn([], [Put("/a", b"1")])
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT value FROM entries WHERE key = '/a'").fetchall() == [(b"1",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    await store.close()


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "metadata.sqlite")
    await (await EmbeddedStore.open(path)).close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE state SET number = 2 WHERE name = 'format'")
    other.close()
    with pytest.raises(NewerFormat, match="newer Headrace"):
        await EmbeddedStore.open(path)


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="absent"):
        await EmbeddedStore.open(str(tmp_path / "absent" / "metadata.sqlite"))


async def test_a_full_disk_is_told_and_what_room_that_makes_is_used(tmp_path: Path) -> None:
    told: list[str] = []

    def limit(pages: int) -> None:
        store._db.execute(f"PRAGMA max_page_count = {pages}")

    def make_room() -> None:
        told.append("full")
        if len(told) > 1:
            store._thread.submit(limit, 1000)

    store = await EmbeddedStore.open(str(tmp_path / "metadata.sqlite"), make_room)
    await store._run(lambda: limit(1))  # SQLite keeps at least what there is
    large = [Put("/a", bytes(100_000))]
    assert isinstance(await store.txn([], large), Unknown), "no room was made"
    assert told == ["full"]
    assert (await store.snapshot("/")).entries == (), "and nothing was written"
    assert isinstance(await store.txn([], large), Done)
    assert told == ["full", "full"]
    await store.close()


async def test_a_failed_write_is_unknown_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = str(tmp_path / "metadata.sqlite")
    store = await EmbeddedStore.open(path)
    blocker = sqlite3.connect(path, isolation_level=None)
    await store._run(lambda: store._db.execute("PRAGMA busy_timeout = 10"))
    blocker.execute("BEGIN IMMEDIATE")
    outcome = await store.txn([], [Put("/a", b"1"), Put("/b", b"2")])
    assert isinstance(outcome, Unknown)
    assert path in outcome.why
    blocker.execute("ROLLBACK")
    blocker.close()
    assert (await store.snapshot("/")).entries == ()
    assert isinstance(await store.txn([], [Put("/a", b"1")]), Done)
    await store.close()
