"""A metadata store in memory that lies on demand: lost answers, late watches, compaction.

It keeps the port's contract, so the contract test runs on it unchanged; `faults` then make it do
what a real store does on its worst day. Time is the event loop's, so it can be virtual.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from headrace.base.invariant import invariant
from headrace.meta.store import (
    OPERATIONS_MAX,
    Change,
    Compacted,
    Conflict,
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


class Loss(Enum):
    """How a transaction's answer is lost."""

    BEFORE = "the request never arrived"
    AFTER = "it was applied, the answer never came"


@dataclass(slots=True)
class Faults:
    """Mutable: a test or the simulator sets what goes wrong next."""

    losses: deque[Loss | None] = field(default_factory=deque)
    """One for each transaction to come; None lets it through."""
    away: bool = False
    """No call is answered; a transaction sent now is Unknown and not applied."""
    watches_held: bool = False
    """Changes happen and are not told until this is lifted (`SimulatedStore.wake`)."""


class SimulatedStore:
    """All state is in memory. Several brokers may share one instance."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._entries: dict[str, Entry] = {}
        self._revision = 1
        self._compacted = 1
        self._history: list[tuple[Change, ...]] = []
        self._news = asyncio.Event()
        self._leases: dict[int, tuple[int, asyncio.TimerHandle]] = {}
        self._leases_granted = 0
        self._closed = False

    async def snapshot(self, prefix: str) -> Snapshot:
        await self._answer()
        entries = sorted(self._entries.items())
        return Snapshot(self._revision, tuple(e for key, e in entries if key.startswith(prefix)))

    async def get(self, key: str) -> Entry | None:
        await self._answer()
        return self._entries.get(key)

    async def txn(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        count = len(guards) + len(operations)
        invariant(count <= OPERATIONS_MAX, "a transaction is too large", count=count)
        keys = [o.key for o in operations]
        invariant(len(set(keys)) == len(keys), "a transaction writes a key twice", keys=keys)
        await asyncio.sleep(0)
        loss = self.faults.losses.popleft() if self.faults.losses else None
        if self.faults.away or self._closed or loss is Loss.BEFORE:
            return Unknown(Loss.BEFORE.value)
        outcome = self._transact(guards, operations)
        return Unknown(Loss.AFTER.value) if loss is Loss.AFTER else outcome

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        position = after_revision
        while not self._closed:
            if position < self._compacted:
                raise Compacted
            told = () if self.faults.watches_held else tuple(self._history)
            for changes in told:
                if changes[0].revision <= position:
                    continue
                position = changes[0].revision
                wanted = tuple(c for c in changes if c.key.startswith(prefix))
                if wanted:
                    yield wanted
                    break
            else:
                await self._news.wait()

    async def grant_lease(self, ttl_ms: int) -> int:
        await self._answer()
        self._leases_granted += 1
        self._arm(self._leases_granted, ttl_ms)
        return self._leases_granted

    async def keep_alive(self, lease: int) -> bool:
        await self._answer()
        if lease not in self._leases:
            return False
        ttl_ms, timer = self._leases[lease]
        timer.cancel()
        self._arm(lease, ttl_ms)
        return True

    async def revoke_lease(self, lease: int) -> None:
        await self._answer()
        self.expire(lease)

    async def close(self) -> None:
        self._closed = True
        for _, timer in self._leases.values():
            timer.cancel()
        self.wake()

    # What the simulator does to it.

    def expire(self, lease: int) -> None:
        """End a lease now; its keys go at one revision."""
        held = self._leases.pop(lease, None)
        if held is not None:
            held[1].cancel()
        keys = sorted(key for key, entry in self._entries.items() if entry.lease == lease)
        if held is not None and keys:
            self._revision += 1
            for key in keys:
                del self._entries[key]
            self._announce([Change(key, None, self._revision) for key in keys])

    def compact(self) -> None:
        """Forget all history: a watch from before now is Compacted."""
        self._compacted = self._revision
        self._history.clear()
        self.wake()

    def wake(self) -> None:
        """Let watchers look again, after `faults` changed."""
        self._news.set()
        self._news = asyncio.Event()

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.faults.away or self._closed:
            raise Unavailable("the simulated store is away")

    def _arm(self, lease: int, ttl_ms: int) -> None:
        loop = asyncio.get_running_loop()
        self._leases[lease] = (ttl_ms, loop.call_later(ttl_ms / 1000, self.expire, lease))

    def _transact(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        leases = {o.lease for o in operations if isinstance(o, Put) and o.lease}
        if not all(self._holds(guard) for guard in guards) or not leases <= set(self._leases):
            return Conflict(self._revision)
        changes = [c for o in operations if (c := self._apply(o, self._revision + 1)) is not None]
        if changes:
            self._revision += 1
            self._announce(changes)
        return Done(self._revision, bool(changes))

    def _holds(self, guard: Guard) -> bool:
        entry = self._entries.get(guard.key)
        if entry is None:
            return guard.revision == 0
        if isinstance(guard, ModRevision):
            return guard.revision == entry.mod_revision
        return guard.revision == entry.create_revision

    def _apply(self, operation: Operation, revision: int) -> Change | None:
        before = self._entries.pop(operation.key, None)
        if not isinstance(operation, Put):
            return None if before is None else Change(operation.key, None, revision)
        entry = Entry(
            key=operation.key,
            value=operation.value,
            create_revision=revision if before is None else before.create_revision,
            mod_revision=revision,
            lease=operation.lease,
        )
        self._entries[operation.key] = entry
        return Change(entry.key, entry, revision)

    def _announce(self, changes: list[Change]) -> None:
        self._history.append(tuple(changes))
        self.wake()
