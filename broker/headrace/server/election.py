"""Who is controller: the `controller` key is free once its owner's lease ended, and one gets it.

Every registered broker tries to create the key under its own lease; the store lets one win. Its
create revision is the controller's epoch, and each write of a controller is guarded by it, so who
lost the key and does not know yet can write nothing. The winner first finishes what its
predecessor left half done.
"""

import asyncio
from typing import Final

import structlog

from headrace.base.image import ClusterImage
from headrace.meta.keys import encode
from headrace.meta.store import CreateRevision, Delete, Done, Put, Store
from headrace.server import crash
from headrace.server.controller import Controller, Leftovers
from headrace.server.metadata import Metadata

log = structlog.get_logger("headrace.controller")

_RETRY_S: Final = 0.5
"""Time between two tries while the store does not answer; news of the metadata come first."""


class Election:
    """`start()` before the broker registers, `await close()` at its end."""

    def __init__(self, metadata: Metadata, store: Store, controller: Controller) -> None:
        self._metadata = metadata
        self._store = store
        self._controller = controller
        self._news = asyncio.Event()
        self._leftovers: Leftovers | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take part from now on."""
        self._metadata.subscribe(self._changed)
        self._task = asyncio.create_task(self._run(), name="controller-election")
        self._task.add_done_callback(crash.on_bug)

    async def close(self) -> None:
        """Stop taking part, and hand the key on: closing the partitions may take a while."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        image, keys = self._metadata.image, self._metadata.keys
        if image.controller_id == self._metadata.node_id and len(image.brokers) > 1:
            guard = CreateRevision(keys.controller, image.controller_epoch)
            await self._store.txn([guard], [Delete(keys.controller)])

    def _changed(self, old: ClusterImage, new: ClusterImage) -> None:
        """Listener of the metadata: on the loop, in order of revision."""
        if new.controller_epoch != old.controller_epoch:
            mine = new.controller_id == self._metadata.node_id
            # What nobody counts is known here, before the first topic that we shall make: all of
            # it is from terms that are over, and their writes can no longer happen.
            self._leftovers = self._controller.leftovers() if mine else None
            if len(new.brokers) > 1:
                log.info("the controller changed", broker=new.controller_id, ours=mine)
        self._news.set()

    @property
    def _may_claim(self) -> bool:
        """The key is free, and the registration that would hold it stands, as far as we know."""
        metadata = self._metadata
        own = metadata.builder.registrations.get(metadata.node_id)
        return (
            metadata.image.controller_id < 0
            and own is not None
            and own.create_revision == metadata.epoch
        )

    async def _run(self) -> None:
        while True:
            if self._may_claim:
                await self._claim()
                continue
            if self._leftovers is not None:
                if await self._finish(self._leftovers):
                    continue
                await self._wait(_RETRY_S)
                continue
            # While there is none, not for news alone: that we registered may be told by the watch
            # before the answer to it, and is then no news any more.
            await self._wait(_RETRY_S if self._metadata.image.controller_id < 0 else None)

    async def _wait(self, timeout_s: float | None) -> None:
        """Until the metadata have news, or the time is up."""
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _claim(self) -> None:
        """Try to create the key, guarded by our registration: a lease alone proves nothing."""
        metadata, keys = self._metadata, self._metadata.keys
        role = encode({"broker": metadata.node_id})
        self._news.clear()
        outcome = await self._store.txn(
            [
                CreateRevision(keys.controller, 0),
                CreateRevision(keys.broker(metadata.node_id), metadata.epoch),
            ],
            [Put(keys.controller, role, metadata.lease)],
        )
        if isinstance(outcome, Done):
            await metadata.reached(outcome.revision)
        elif not self._news.is_set():
            # Somebody else was first or our registration is gone, which the watch will tell; or
            # nothing is known, and the next try is a Conflict if this one happened.
            await self._wait(_RETRY_S)

    async def _finish(self, found: Leftovers) -> bool:
        """Remove what predecessors left; True once there is no more to do in this term."""
        refusal = await self._controller.sweep(found)
        if refusal is not None and self._leftovers is found:
            log.warning("what a controller left cannot be removed yet", reason=refusal.message)
            return False
        if self._leftovers is found:
            self._leftovers = None
        return True
