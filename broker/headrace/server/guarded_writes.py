"""How the controller writes to the metadata store: guarded, once, and seen before it answers."""

import asyncio
from collections.abc import Sequence
from typing import Final

from headrace.base.errors import Code, Refusal
from headrace.meta.store import (
    Conflict,
    CreateRevision,
    Done,
    Guard,
    Operation,
    Put,
    Store,
    Unavailable,
    Unknown,
)
from headrace.server.metadata import Metadata
from headrace.server.turn import Turn

ATTEMPTS: Final = 8
"""Conflicts or lost answers in a row before a request is told to try again."""
SEEN_S: Final = 5.0
"""Time for a change of our own to come back by the watch."""


class GuardedWrites:
    """One change at a time, which is what `_turn` is for."""

    def __init__(self, metadata: Metadata, store: Store) -> None:
        self._metadata = metadata
        self._store = store
        self._keys = metadata.keys
        self._away_at = 0.0
        self._turn = Turn()

    async def _commit(
        self,
        guards: Sequence[Guard],
        operations: Sequence[Operation],
        on_conflict: Code = Code.REQUEST_TIMED_OUT,
        *,
        as_controller: bool = True,
        term: int | None = None,
    ) -> Refusal | None:
        """Write, guarded by our being the controller. The image holds it when this returns.

        A Conflict is answered and not tried again: `_turn` keeps our own changes apart, so
        somebody else changed what the decision was made on. After Unknown it may be our own write
        that stands in the way, so the store is asked. `term` is for what takes several writes:
        none of them is made in a later one.
        """
        if as_controller:
            image = self._metadata.image
            term = image.controller_epoch if term is None else term
            if image.controller_id != self._metadata.node_id or image.controller_epoch != term:
                return _not_controller()
            guards = [CreateRevision(self._keys.controller, term), *guards]
        if self._turn.locked() and self._turn.asked_at < self._away_at:
            return away("it was away for the request before this one")
        in_doubt = False
        for _ in range(ATTEMPTS):
            outcome = await self._store.txn(guards, operations)
            if isinstance(outcome, Done):
                return await self._seen(outcome.revision) if outcome.changed else None
            in_doubt = in_doubt or isinstance(outcome, Unknown)
            try:
                applied = await self._applied(operations) if in_doubt else None
                if applied is not None:
                    return await self._seen(applied)
                if isinstance(outcome, Conflict):
                    return await self._conflict(term if as_controller else None, on_conflict)
            except Unavailable as error:
                self._away_at = asyncio.get_running_loop().time()
                return away(str(error))
        return away("its answers were lost")

    async def _conflict(self, term: int | None, code: Code) -> Refusal:
        """Which guard failed: our being the controller in that term, or another."""
        if term is not None:
            controller = await self._store.get(self._keys.controller)
            if controller is None or controller.create_revision != term:
                return _not_controller()
        return Refusal(code, "The cluster's metadata changed meanwhile; try again.")

    async def _seen(self, revision: int) -> Refusal | None:
        """Wait for our image: the store may go away between its answer and the watch's news."""
        try:
            async with asyncio.timeout(SEEN_S):
                await self._metadata.reached(revision)
        except TimeoutError:
            return Refusal(
                Code.REQUEST_TIMED_OUT,
                "The change is written and this broker has not seen it yet; ask again.",
            )
        return None

    async def _applied(self, operations: Sequence[Operation]) -> int | None:
        """After Unknown: the revision at which the store shows the writes; None where not.

        Writing again is safe: the guards make one of the two attempts the only one. Raises
        Unavailable.
        """
        revision = 0
        for operation in operations:
            entry = await self._store.get(operation.key)
            wanted = operation.value if isinstance(operation, Put) else None
            if (None if entry is None else entry.value) != wanted:
                return None
            revision = max(revision, entry.mod_revision if entry else 0)
        return revision


def _not_controller() -> Refusal:
    return Refusal(
        Code.NOT_CONTROLLER, "This broker is not the controller, or is no longer; try again."
    )


def away(why: str) -> Refusal:
    """The store did not answer: the request is to come again."""
    return Refusal(
        Code.REQUEST_TIMED_OUT, f"The metadata store did not take the change ({why}); try again."
    )
