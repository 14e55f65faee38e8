"""The metadata store of one machine: one SQLite file behind the port, nothing to install.

SQLite runs in one worker thread, so transactions happen one after another and the loop never
waits for the disk. WAL with synchronous=FULL: a transaction that was answered survives a power
cut. Leases end by the loop's clock; opening the file gives each its whole time again, as etcd
does after an election, because nobody could renew it meanwhile. Watches are served from the
changes of this run, so a watch from before the start is Compacted.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from headrace.base.invariant import invariant
from headrace.meta.store import (
    OPERATIONS_MAX,
    Change,
    Compacted,
    Conflict,
    CreateRevision,
    Done,
    Entry,
    Guard,
    ModRevision,
    Operation,
    Outcome,
    Put,
    Snapshot,
    Unavailable,
    Unknown,
)

T = TypeVar("T")

HISTORY_MAX: Final = 10_000
"""Revisions kept for watches; a watcher that falls further behind reads everything again."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, value BLOB NOT NULL,
    create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL, lease INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leased ON entries (lease) WHERE lease > 0;
CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO state VALUES ('revision', 1), ('lease', 0), ('format', 1);
"""
_NO_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""The file, or its shared memory, cannot grow. The transaction was rolled back."""
_RESTORE: Final = "restore it from a copy: without it the records beside it cannot be read"
_CURES: Final = {sqlite3.SQLITE_NOTADB: _RESTORE, sqlite3.SQLITE_CORRUPT: _RESTORE}
_COLUMNS: Final = "key, value, create_revision, mod_revision, lease"


class NewerFormat(Exception):
    """The file was written by a newer Headrace."""


class EmbeddedStore:
    """`await EmbeddedStore.open(path)`; one process at a time, which the data folder's lock
    ensures."""

    def __init__(self, path: str, on_disk_full: Callable[[], None]) -> None:
        self._path = path
        self._on_disk_full = on_disk_full
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metadata")
        self._loop = asyncio.get_running_loop()
        self._history: deque[tuple[Change, ...]] = deque()
        self._compacted = 0
        self._news = asyncio.Event()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def open(
        cls, path: str, on_disk_full: Callable[[], None] = lambda: None
    ) -> "EmbeddedStore":
        """Open or create the file. Raises Unavailable (the disk) or NewerFormat.

        `on_disk_full` is called on the loop when the file finds no room, and may make some: what
        was asked is then tried once more.
        """
        store = cls(path, on_disk_full)
        try:
            leases = await store._run(store._connect)
        except BaseException:
            store._thread.shutdown()
            raise
        for lease, ttl_ms in leases:
            store._arm(lease, ttl_ms)
        return store

    async def snapshot(self, prefix: str) -> Snapshot:
        def read() -> Snapshot:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM entries WHERE key >= ? AND key < ? ORDER BY key",
                (prefix, prefix + "\U0010ffff"),
            )
            return Snapshot(self._number("revision"), tuple(_entry(row) for row in rows))

        return await self._run(read)

    async def get(self, key: str) -> Entry | None:
        return await self._run(lambda: self._get(key))

    async def txn(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        count = len(guards) + len(operations)
        invariant(count <= OPERATIONS_MAX, "a transaction is too large", count=count)
        keys = [o.key for o in operations]
        invariant(len(set(keys)) == len(keys), "a transaction writes a key twice", keys=keys)
        try:
            return await self._run(lambda: self._transact(guards, operations))
        except Unavailable as error:
            return Unknown(str(error))

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        position = after_revision
        while not self._closed:
            if position < self._compacted:
                raise Compacted
            for changes in self._after(position):
                position = changes[0].revision
                wanted = tuple(c for c in changes if c.key.startswith(prefix))
                if wanted:
                    yield wanted
                    break
            else:
                await self._news.wait()

    async def grant_lease(self, ttl_ms: int) -> int:
        def grant() -> int:
            with self._db:
                lease = self._number("lease") + 1
                self._db.execute("UPDATE state SET number = ? WHERE name = 'lease'", (lease,))
                self._db.execute("INSERT INTO leases VALUES (?, ?)", (lease, ttl_ms))
            return lease

        lease = await self._run(grant)
        self._arm(lease, ttl_ms)
        return lease

    async def keep_alive(self, lease: int) -> bool:
        def ttl() -> int | None:
            row = self._db.execute("SELECT ttl_ms FROM leases WHERE id = ?", (lease,)).fetchone()
            return None if row is None else int(row[0])

        ttl_ms = await self._run(ttl)
        if ttl_ms is None:
            return False
        self._arm(lease, ttl_ms)
        return True

    async def revoke_lease(self, lease: int) -> None:
        timer = self._timers.pop(lease, None)
        if timer is not None:
            timer.cancel()
        await self._run(lambda: self._end_lease(lease))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._wake()
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._ending)
        await self._loop.run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    # On the loop.

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable(f"the metadata file {self._path} is closed")
        try:
            try:
                return await self._loop.run_in_executor(self._thread, work)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", None) not in _NO_ROOM:
                    raise
            self._on_disk_full()
            return await self._loop.run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            cure = _CURES.get(getattr(error, "sqlite_errorcode", 0), "check the disk")
            raise Unavailable(f"the metadata file {self._path}: {error}; {cure}") from error

    def _after(self, revision: int) -> list[tuple[Change, ...]]:
        """The changes after a revision; a watcher is mostly at the end, so look from there."""
        found = []
        for changes in reversed(self._history):
            if changes[0].revision <= revision:
                break
            found.append(changes)
        return found[::-1]

    def _publish(self, changes: tuple[Change, ...]) -> None:
        self._history.append(changes)
        if len(self._history) > HISTORY_MAX:
            self._compacted = self._history.popleft()[0].revision
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _arm(self, lease: int, ttl_ms: int) -> None:
        previous = self._timers.pop(lease, None)
        if previous is not None:
            previous.cancel()
        if not self._closed:
            self._timers[lease] = self._loop.call_later(ttl_ms / 1000, self._expire, lease)

    def _expire(self, lease: int) -> None:
        task = self._loop.create_task(self._expire_now(lease))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _expire_now(self, lease: int) -> None:
        try:
            await self.revoke_lease(lease)
        except Unavailable:
            self._arm(lease, 1000)  # The disk failed: the keys stay until it answers again.

    # In the worker thread.

    def _connect(self) -> list[tuple[int, int]]:
        self._db = sqlite3.connect(self._path, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            return self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> list[tuple[int, int]]:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        if self._number("format") > 1:
            raise NewerFormat(f"{self._path} was written by a newer Headrace; start that one.")
        self._compacted = self._number("revision")
        return [(row[0], row[1]) for row in self._db.execute("SELECT id, ttl_ms FROM leases")]

    def _number(self, name: str) -> int:
        row = self._db.execute("SELECT number FROM state WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    def _get(self, key: str) -> Entry | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM entries WHERE key = ?", (key,)).fetchone()
        return None if row is None else _entry(row)

    def _holds(self, guard: Guard) -> bool:
        entry = self._get(guard.key)
        match guard:
            case ModRevision():
                return guard.revision == (0 if entry is None else entry.mod_revision)
            case CreateRevision():
                return guard.revision == (0 if entry is None else entry.create_revision)

    def _transact(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        with self._db:
            revision = self._number("revision")
            if not all(self._holds(guard) for guard in guards):
                return Conflict(revision)
            if any(
                isinstance(o, Put) and o.lease and not self._leased(o.lease) for o in operations
            ):
                return Conflict(revision)
            changes = [c for o in operations if (c := self._apply(o, revision + 1)) is not None]
            if changes:
                revision += 1
                self._db.execute("UPDATE state SET number = ? WHERE name = 'revision'", (revision,))
        self._announce(changes)
        return Done(revision, bool(changes))

    def _leased(self, lease: int) -> bool:
        return (
            self._db.execute("SELECT 1 FROM leases WHERE id = ?", (lease,)).fetchone() is not None
        )

    def _apply(self, operation: Operation, revision: int) -> Change | None:
        before = self._get(operation.key)
        if isinstance(operation, Put):
            entry = Entry(
                key=operation.key,
                value=operation.value,
                create_revision=revision if before is None else before.create_revision,
                mod_revision=revision,
                lease=operation.lease,
            )
            self._db.execute(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)",
                (entry.key, entry.value, entry.create_revision, revision, entry.lease),
            )
            return Change(entry.key, entry, revision)
        if before is None:
            return None
        self._db.execute("DELETE FROM entries WHERE key = ?", (operation.key,))
        return Change(operation.key, None, revision)

    def _end_lease(self, lease: int) -> None:
        with self._db:
            revision = self._number("revision") + 1
            rows = self._db.execute("SELECT key FROM entries WHERE lease = ?", (lease,)).fetchall()
            changes = [Change(row[0], None, revision) for row in rows]
            self._db.execute("DELETE FROM entries WHERE lease = ?", (lease,))
            self._db.execute("DELETE FROM leases WHERE id = ?", (lease,))
            if changes:
                self._db.execute("UPDATE state SET number = ? WHERE name = 'revision'", (revision,))
        self._announce(changes)

    def _announce(self, changes: list[Change]) -> None:
        """Called in order of revision, before the answer: a watcher never misses or reorders."""
        if changes:
            self._loop.call_soon_threadsafe(self._publish, tuple(changes))


def _entry(row: tuple[str, bytes, int, int, int]) -> Entry:
    key, value, create_revision, mod_revision, lease = row
    return Entry(
        key=key,
        value=value,
        create_revision=create_revision,
        mod_revision=mod_revision,
        lease=lease,
    )
