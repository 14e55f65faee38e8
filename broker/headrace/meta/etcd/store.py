"""etcd behind the port: for clusters of brokers.

Every call has a deadline and is sent once; only reads, leases and what etcd surely refused are
asked again. Source of the semantics: etcd's API reference 3.6 (KV, Watch, Lease).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from etcd3aio._protobuf import Compare
from etcd3aio.kv import KVService, prefix_range_end

from headrace.base.invariant import invariant
from headrace.meta.etcd import watch
from headrace.meta.etcd.member import FAULTS, Member, words
from headrace.meta.etcd.members import Members
from headrace.meta.etcd.options import EtcdOptions
from headrace.meta.store import (
    OPERATIONS_MAX,
    Change,
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

_SNAPSHOT_TRIES: Final = 3
"""Compactions in the middle of a snapshot before it is given up."""
_LEASE_IS_GONE: Final = "requested lease not found"
_COMPACTED: Final = "required revision has been compacted"


class EtcdStore:
    """`EtcdStore(options)` connects at its first call; safe for one event loop."""

    def __init__(self, options: EtcdOptions) -> None:
        self._members = Members(options)
        self._timeout_s = self._members.timeout_s
        self._page_entries = options.page_entries
        self._revision = 0
        """The newest that was heard of: etcd names none where it finds a lease gone."""

    async def snapshot(self, prefix: str) -> Snapshot:
        for _ in range(_SNAPSHOT_TRIES):
            entries: list[Entry] = []
            revision, more, start = 0, True, prefix.encode()
            try:
                while more:
                    page = await self._page(start, prefix, revision)
                    revision = revision or page.header.revision
                    entries.extend(map(watch.entry_of, page.kvs))
                    more = page.more
                    start = page.kvs[-1].key + b"\0" if more else b""
            except Unavailable as error:
                if _COMPACTED not in str(error):
                    raise
            else:
                self._heard(revision)
                return Snapshot(revision, tuple(entries))
        raise Unavailable("etcd was compacted while it was read, again and again")

    async def _page(self, start: bytes, prefix: str, revision: int) -> Any:
        return await self._members.read(
            lambda member: member.kv.get(
                start,
                range_end=prefix_range_end(prefix),
                revision=revision,
                limit=self._page_entries,
                timeout=self._timeout_s,
            )
        )

    async def get(self, key: str) -> Entry | None:
        found = await self._members.read(lambda member: member.kv.get(key, timeout=self._timeout_s))
        self._heard(found.header.revision)
        return watch.entry_of(found.kvs[0]) if found.kvs else None

    async def txn(self, guards: Sequence[Guard], operations: Sequence[Operation]) -> Outcome:
        count = len(guards) + len(operations)
        invariant(count <= OPERATIONS_MAX, "a transaction is too large", count=count)
        keys = [o.key for o in operations]
        invariant(len(set(keys)) == len(keys), "a transaction writes a key twice", keys=keys)
        compare = [_compare(guard) for guard in guards]
        success = [_request(operation) for operation in operations]
        try:
            answer = await self._members.write(
                lambda member: member.kv.txn(compare, success, timeout=self._timeout_s)
            )
        except Unavailable as error:
            return Unknown(str(error))
        except FAULTS as fault:
            if _LEASE_IS_GONE in words(fault):
                return Conflict(self._revision)
            return Unknown(f"etcd did not take the transaction: {words(fault)}")
        revision = int(answer.header.revision)
        self._heard(revision)
        if not answer.succeeded:
            return Conflict(revision)
        deleted = any(response.response_delete_range.deleted for response in answer.responses)
        return Done(revision, deleted or any(isinstance(o, Put) for o in operations))

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        return watch.follow(self._members, prefix, after_revision)

    async def grant_lease(self, ttl_ms: int) -> int:
        """etcd counts in whole seconds, and no fewer than 1.5 of its election timeouts."""
        ttl_s = -(-ttl_ms // 1000)
        granted = await self._members.read(
            lambda member: member.lease.grant(ttl_s, timeout=self._timeout_s)
        )
        return int(granted.ID)

    async def keep_alive(self, lease: int) -> bool:
        answer = await self._members.read(lambda member: self._renew(member, lease))
        return bool(answer.TTL > 0)

    async def _renew(self, member: Member, lease: int) -> Any:
        """A stream for one renewal: a broker renews one lease each few seconds."""
        call = member.lease.keep_alive(lease)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await call.read()
            if answer is grpc.aio.EOF:
                raise TimeoutError
            return answer
        finally:
            call.cancel()

    async def revoke_lease(self, lease: int) -> None:
        async def revoke(member: Member) -> None:
            try:
                await member.lease.revoke(lease, timeout=self._timeout_s)
            except FAULTS as fault:
                if _LEASE_IS_GONE not in words(fault):
                    raise

        await self._members.read(revoke)

    async def close(self) -> None:
        await self._members.close()

    def _heard(self, revision: int) -> None:
        self._revision = max(self._revision, revision)


def _compare(guard: Guard) -> Any:
    if isinstance(guard, ModRevision):
        return Compare(
            result=Compare.EQUAL,
            target=Compare.MOD,
            key=guard.key.encode(),
            mod_revision=guard.revision,
        )
    return KVService.txn_compare_create_revision(guard.key, guard.revision)


def _request(operation: Operation) -> Any:
    if isinstance(operation, Put):
        return KVService.txn_op_put(operation.key, operation.value, lease=operation.lease)
    return KVService.txn_op_delete(operation.key)
