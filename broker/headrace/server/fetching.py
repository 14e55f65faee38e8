"""Carrying out a Fetch: find the slices, wait until they are worth an answer, read them.

Finding is cheap and repeated. A short slice is read when the answer is made, a long one is sent
from its file and never read by us. Where either would touch the device, a thread first brings it
into the page cache (decision 2).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from headrace.base.errors import Code
from headrace.core.fetch_sessions import Key
from headrace.server.cold_readers import ColdReaders, warm_ahead
from headrace.server.outgoing import Part
from headrace.server.partition import Partition
from headrace.storage.disk import Damaged, DiskFault, NoDescriptor, Read, read_patiently
from headrace.storage.log import OffsetOutOfRange, Slice
from headrace.wire.fetch import FetchPartition

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_NO_BYTES = b""
_UNKNOWN = -1
_READ_BELOW_BYTES = 32 * 1024
"""Below this a copy costs less than the calls around sendfile."""


class Found(NamedTuple):
    """What one partition has for it."""

    code: Code
    high_watermark: int = _UNKNOWN
    last_stable_offset: int = _UNKNOWN
    log_start_offset: int = _UNKNOWN
    slice: Slice | None = None
    diverging: tuple[int, int] | None = None
    partition: Partition | None = None


@dataclass(slots=True, kw_only=True)
class Terms:
    """How a Fetch wants to be answered. Mutable for speed alone; nobody changes it."""

    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    committed_only: bool
    is_consumer: bool


def look(
    broker: "Broker",
    wanted: list[tuple[Key, FetchPartition]],
    terms: Terms,
    read: Read = read_patiently,
) -> tuple[list[Found], int, bool]:
    """What each partition has now, the bytes in all, and whether waiting is pointless.

    The first partition with data gives at least one batch even if that is over the limit, so a
    large batch never stops a reader (KIP-74); the others stay within `max_bytes`. Raises what
    `read` raises.
    """
    found: list[Found] = []
    total = 0
    urgent = False
    left = min(terms.max_bytes, broker.settings.fetch_max_bytes)
    for key, item in wanted:
        one = _look_at(broker, key, item, terms, left, read, first=total == 0)
        found.append(one)
        if one.slice is not None:
            total += one.slice.count
            left -= one.slice.count
        elif one.code or one.diverging is not None:
            urgent = True
    return found, total, urgent


def _look_at(
    broker: "Broker",
    key: Key,
    item: FetchPartition,
    terms: Terms,
    left: int,
    read: Read,
    *,
    first: bool,
) -> Found:
    partition = broker.partitions.find(key)
    if partition is None:
        return Found(broker.partitions.why_not_found(key))
    replica, log = partition.replica, partition.log
    if item.current_leader_epoch != replica.leader_epoch:
        refused = replica.check_epoch(item.current_leader_epoch)
        if refused is not None:
            return Found(refused, partition=partition)
    if replica.leader != replica.broker_id or not terms.is_consumer:
        return Found(Code.NOT_LEADER_OR_FOLLOWER, partition=partition)
    if partition.failure is not None:
        return Found(Code.KAFKA_STORAGE_ERROR)
    high_watermark = replica.high_watermark
    stable, start = replica.last_stable_offset, log.log_start_offset
    if item.last_fetched_epoch >= 0:
        epoch, end = log.epochs.end_offset_for(item.last_fetched_epoch, log.log_end_offset)
        if epoch < item.last_fetched_epoch or end < item.fetch_offset:
            if epoch < 0:
                return Found(Code.OFFSET_OUT_OF_RANGE, partition=partition)
            return Found(Code.NONE, high_watermark, stable, start, None, (epoch, end), partition)
    limit = stable if terms.committed_only else high_watermark
    offset = item.fetch_offset
    if offset == limit:
        return Found(Code.NONE, high_watermark, stable, start, None, None, partition)
    max_bytes = max(item.partition_max_bytes, 0)
    if left < max_bytes:
        max_bytes = max(left, 0)
    if max_bytes <= 0 and not first:
        return Found(Code.NONE, high_watermark, stable, start, None, None, partition)
    try:
        if start <= offset < limit:
            piece = log.locate(offset, max_bytes, max_offset=limit, read=read)
            if first or piece.count <= max_bytes:
                return Found(Code.NONE, high_watermark, stable, start, piece, None, partition)
        elif not start <= offset <= log.log_end_offset:
            return Found(Code.OFFSET_OUT_OF_RANGE, partition=partition)
    except OffsetOutOfRange:
        return Found(Code.OFFSET_OUT_OF_RANGE, partition=partition)
    except Damaged:
        return Found(Code.CORRUPT_MESSAGE, partition=partition)
    except NoDescriptor:
        return Found(Code.KAFKA_STORAGE_ERROR, partition=partition)
    except DiskFault as fault:
        return Found(partition.fail(str(fault)).code)
    return Found(Code.NONE, high_watermark, stable, start, None, None, partition)


class DelayedFetch:
    """A Fetch that found too little and waits for more, at most `max_wait_ms`."""

    __slots__ = ("_done", "_give", "_look", "_loop", "_partitions", "_retrying", "_terms", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        terms: Terms,
        partitions: list[Partition],
        look_again: Callable[[], tuple[list[Found], int, bool]],
        give: Callable[[list[Found]], None],
    ) -> None:
        self._loop, self._terms, self._partitions = loop, terms, partitions
        self._look, self._give = look_again, give
        self._retrying = False
        self._done = False
        self._timer = loop.call_later(terms.max_wait_ms / 1000, self._expire)
        for partition in partitions:
            partition.when_readable(self.wake)

    def wake(self) -> None:
        """Something became readable: look once at the end of this turn of the loop."""
        if not self._retrying:
            self._retrying = True
            self._loop.call_soon(self._retry)

    def _retry(self) -> None:
        self._retrying = False
        if self._done:
            return
        found, total, urgent = self._look()
        if total >= self._terms.min_bytes or urgent:
            self._finish(found)

    def _expire(self) -> None:
        if not self._done:
            self._finish(self._look()[0])

    def _finish(self, found: list[Found]) -> None:
        self.cancel()
        self._give(found)

    def cancel(self) -> None:
        """Stop waiting; the connection went away or the answer is given."""
        self._done = True
        self._timer.cancel()
        for partition in self._partitions:
            partition.no_longer(self.wake)


def read_nowait(found: list[Found], cold: ColdReaders) -> list[Part] | None:
    """Every slice's bytes, or the slice; None where one is, or will be, not in the page cache."""
    records: list[Part] = []
    for one in found:
        piece = one.slice
        if piece is None:
            records.append(_NO_BYTES)
            continue
        data = None if cold.expects(piece) else _read_nowait(piece)
        if data is None or len(data) < piece.count:
            return None
        records.append(data)
    return records


def _read_nowait(piece: Slice) -> Part | None:
    file = piece.file
    try:
        if piece.count < _READ_BELOW_BYTES:
            return file.pread_nowait(piece.count, piece.position)
        return piece if file.resident(piece.count, piece.position) else None
    except DiskFault:
        return None  # The thread's read will say so too, where it can be answered.


class ColdRead(NamedTuple):
    """What a thread read: each slice's bytes or the slice, how much of it came from the device,
    and for each slice whether its file is warm."""

    records: list[Part]
    device_bytes: int
    warm: list[tuple[Slice, bool]]


def read(found: list[Found]) -> ColdRead:
    """The same for what is, or may be, on the device; blocks. Raises DiskFault."""
    records: list[Part] = []
    warm: list[tuple[Slice, bool]] = []
    device_bytes = 0
    for one in found:
        piece = one.slice
        if piece is None:
            records.append(_NO_BYTES)
            continue
        data = _read_nowait(piece)
        warm.append((piece, data is not None and warm_ahead(piece)))
        if data is None:
            device_bytes += piece.count
            data = _read(piece)
        records.append(data)
    return ColdRead(records, device_bytes, warm)


def _read(piece: Slice) -> Part:
    if piece.count < _READ_BELOW_BYTES:
        return piece.file.pread(piece.count, piece.position)
    piece.file.warm(piece.count, piece.position)
    return piece
