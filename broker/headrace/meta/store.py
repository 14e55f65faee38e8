"""The metadata store as a port. Adapters: embedded (one file), etcd, simulated.

The semantics are etcd's: one revision counter for the store, each key with its create and mod
revision, transactions guarded by comparisons, watches that resume from a revision, leases.
A transaction has three outcomes, and `Unknown` is the one everybody forgets: the call timed
out after it was sent, so it may have happened. All adapters pass one contract test.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key as it stands; `lease` is 0 where none holds it."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All entries under a prefix, sorted by key, at one revision of the store."""

    revision: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class ModRevision:
    """Holds while the key's mod revision is `revision`; 0 means that the key is absent."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class CreateRevision:
    """Holds while the key's create revision is `revision`; 0 means that the key is absent."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class Done:
    """Every guard held and every operation was applied, at this revision.

    Not `changed` where there was nothing to do: the revision may then be somebody else's, which
    a watch of one prefix never tells.
    """

    revision: int
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Conflict:
    """A guard did not hold and nothing was applied; the store was at this revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer never came: it was applied, or not, or will be."""

    why: str


Guard = ModRevision | CreateRevision
Operation = Put | Delete
Outcome = Done | Conflict | Unknown

OPERATIONS_MAX = 128
"""Guards and operations in one transaction (etcd's --max-txn-ops)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key's change; `entry` is None where it was deleted."""

    key: str
    entry: Entry | None
    revision: int


class Compacted(Exception):
    """The revision to watch from is gone: read the whole prefix again, then watch from there."""


class Unavailable(Exception):
    """The store did not answer a read; nothing was learnt."""


class Unusable(Unavailable):
    """The store answers and must not be used; the sentence says why and what to do."""


class Store(Protocol):
    """Every value returned carries the revision to apply it by: never go backwards."""

    async def snapshot(self, prefix: str) -> Snapshot:
        """Linearizable read of all keys under `prefix`. Raises Unavailable."""
        ...

    async def get(self, key: str) -> Entry | None:
        """Linearizable read of one key. Raises Unavailable."""
        ...

    async def txn(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        """Apply all operations at one revision if all guards hold."""
        ...

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Changes after that revision, one revision's changes an item. Raises Compacted."""
        ...

    async def grant_lease(self, ttl_ms: int) -> int:
        """A new lease's id. Its keys are deleted when it ends. Raises Unavailable."""
        ...

    async def keep_alive(self, lease: int) -> bool:
        """Renew; False where the lease is gone. Raises Unavailable."""
        ...

    async def revoke_lease(self, lease: int) -> None:
        """End a lease and delete its keys; absent is fine. Raises Unavailable."""
        ...

    async def close(self) -> None: ...
