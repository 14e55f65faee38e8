"""A watch that lives longer than its connections.

It resumes behind the last revision that was given whole, asks for signs of life, and leaves a
member that is silent or has lost its leader. Only compaction ends it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any, Final

import grpc
import grpc.aio
from etcd3aio._protobuf import WatchCreateRequest, WatchRequest
from etcd3aio.kv import prefix_range_end

from headrace.meta.etcd.member import FAULTS, Member
from headrace.meta.etcd.members import Members
from headrace.meta.store import Change, Compacted, Entry, Unavailable

_SILENT_INTERVALS: Final = 3
_RETRY_S: Final = 0.2
_DELETE: Final = 1
"""mvccpb.Event.EventType; 0 is PUT."""

Revision = tuple[Change, ...]


class _Broken(Exception):
    """The stream ended; the words say why."""


async def follow(members: Members, prefix: str, after_revision: int) -> AsyncIterator[Revision]:
    """Changes after that revision, one revision an item, until closed. Raises Compacted."""
    position = after_revision
    while not members.closed:
        try:
            member = await members.prepared()
        except Unavailable:
            await asyncio.sleep(_RETRY_S)
            continue
        try:
            async with aclosing(_stream(members, member, prefix, position + 1)) as batches:
                async for reached, revisions in batches:
                    for changes in revisions:
                        if changes[0].revision > position:
                            position = changes[0].revision
                            yield changes
                    position = max(position, reached)
        except (_Broken, asyncio.InvalidStateError, grpc.aio.UsageError, *FAULTS) as fault:
            # InvalidStateError: a write to a stream that has ended.
            if not members.closed:
                members.failed(member, fault)
                await asyncio.sleep(_RETRY_S)


async def _stream(
    members: Members, member: Member, prefix: str, start: int
) -> AsyncGenerator[tuple[int, list[Revision]], None]:
    """Batches of one stream: up to which revision all is told, and the revisions with changes.

    Raises Compacted, _Broken and FAULTS.
    """
    interval_s = members.options.progress_interval_ms / 1000
    # A member cut off from the others would go on as if nothing changed.
    metadata = [("hasleader", "true"), *([("token", member.token)] if member.token else [])]
    call = member.watch.Watch(metadata=tuple(metadata))
    reading: asyncio.Task[Any] | None = None
    held: list[Any] = []
    silent = 0
    try:
        async with asyncio.timeout(members.timeout_s):
            await members.answered(call.write(_create(prefix, start)))
        while True:
            reading = reading or asyncio.ensure_future(call.read())
            # Not wait_for: to cancel a read is to cancel the stream.
            done, _ = await asyncio.wait({reading}, timeout=interval_s)
            if not member.connected():
                # A member that shuts down in peace waits for its watches, and answers nobody else.
                raise _Broken("the member is leaving")
            if not done:
                silent += 1
                if silent > _SILENT_INTERVALS:
                    raise _Broken("the watch fell silent")
                async with asyncio.timeout(members.timeout_s):
                    await members.answered(call.write(_ask_progress()))
                continue
            response, reading, silent = _answer(reading), None, 0
            if response.created:
                continue
            held.extend(response.events)
            if not response.fragment:
                batch = [tuple(map(_change, events)) for events in _by_revision(held)]
                held = []
                # A notice without events says that all before it was told.
                yield (0 if batch else response.header.revision), batch
    finally:
        call.cancel()
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _answer(reading: asyncio.Task[Any]) -> Any:
    if reading.cancelled():
        raise _Broken("the channel was closed")
    response = reading.result()
    if response is grpc.aio.EOF:
        raise _Broken("the stream ended")
    if response.compact_revision:
        raise Compacted
    if response.canceled:
        raise _Broken(response.cancel_reason or "the watch was cancelled")
    return response


def _create(prefix: str, start: int) -> Any:
    return WatchRequest(
        create_request=WatchCreateRequest(
            key=prefix.encode(),
            range_end=prefix_range_end(prefix),
            start_revision=start,
            fragment=True,
        )
    )


def _ask_progress() -> Any:
    request = WatchRequest()
    request.progress_request.SetInParent()
    return request


def _by_revision(events: Sequence[Any]) -> list[list[Any]]:
    return [list(group) for _, group in groupby(events, key=lambda event: event.kv.mod_revision)]


def _change(event: Any) -> Change:
    key = event.kv.key.decode()
    entry = None if event.type == _DELETE else entry_of(event.kv)
    return Change(key, entry, event.kv.mod_revision)


def entry_of(kv: Any) -> Entry:
    """An mvccpb.KeyValue as the port has it."""
    return Entry(
        key=kv.key.decode(),
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        lease=kv.lease,
    )
