"""Fetch v4-v18. Behaviour: sessions (KIP-227), topic ids (KIP-516), whole batches and at least
one (KIP-74), isolation levels, min bytes and max wait, leader epoch checks (KIP-320), diverging
epochs (KIP-595). A reader never sees above the high watermark.

Skipped: Fetch of a follower (replica id >= 0) gets NOT_LEADER_OR_FOLLOWER: no replication yet.
Skipped: Fetch with read_committed names no aborted transactions: of a folder that Kafka wrote with
transactions, aborted records are read as if they were committed.
Skipped: Fetch answers no preferred read replica (KIP-392): no replication yet.
"""

import asyncio
from typing import TYPE_CHECKING

from headrace.base.errors import Code
from headrace.core.fetch_sessions import NO_SESSION, Fetch, Key
from headrace.server import fetching
from headrace.server.connection import Answer, Connection, Outcome
from headrace.server.fetching import DelayedFetch, Found, Terms
from headrace.server.outgoing import Part
from headrace.storage.disk import DiskFault, NotInMemory, read_now, read_patiently
from headrace.wire import fetch as codec
from headrace.wire.fetch import Fetched, FetchPartition
from headrace.wire.framing import RequestHeader
from headrace.wire.primitive import Topic
from headrace.wire.versions import FETCH

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_READ_COMMITTED = 1
_COLD_BYTES_PER_S = 256 * 1024 * 1024
"""What one reader of a cold log gets at most: one as fast as the device would take the processors
from everybody else."""
_LOOKS_MAX = 16
"""Looks that may each ask a thread for a few kilobytes; then one that waits for the device."""


def handle_frame(
    broker: "Broker", connection: Connection, header: RequestHeader, frame: memoryview
) -> Outcome:
    """Answer at once, or wait for data. HOT."""
    version = header.api_version
    request = codec.read_fetch(version, frame, header.body)
    asked: dict[Key, FetchPartition] = {
        (topic, p.partition): p for topic, items in request.topics for p in items
    }
    forgotten: list[Key] = [
        (topic, index) for topic, indexes in request.forgotten for index in indexes
    ]
    session = broker.fetch_sessions.begin(
        request.session_id,
        request.session_epoch,
        asked,
        forgotten,
        uses_topic_ids=version >= codec.TOPIC_IDS_FROM,
        privileged=request.replica_id >= 0,
        now_ms=broker.clock.monotonic_ms(),
    )
    if isinstance(session, Code):
        broker.requests.count_error(FETCH, session)
        return codec.write_fetch(version, header.correlation_id, [], code=session)
    terms = Terms(
        max_wait_ms=request.max_wait_ms,
        min_bytes=request.min_bytes,
        max_bytes=request.max_bytes,
        committed_only=request.isolation_level == _READ_COMMITTED,
        is_consumer=request.replica_id < 0,
    )
    reply = _Reply(broker, connection, header, session, terms)
    quotas = broker.quotas
    if quotas.active:
        wait_ms = quotas.fetch_refused(connection, header.client_id)
        if wait_ms:
            return reply.refuse(wait_ms)
        limit = quotas.fetch_bytes_max(connection, header.client_id)
        if limit is not None:
            terms.max_bytes = min(terms.max_bytes, limit)
            terms.min_bytes = min(terms.min_bytes, limit)
    return reply.begin()


class _Reply:
    """One Fetch on its way to its answer."""

    __slots__ = ("_answer", "_broker", "_connection", "_header", "_looks", "_session", "_terms")

    def __init__(
        self,
        broker: "Broker",
        connection: Connection,
        header: RequestHeader,
        session: Fetch[FetchPartition],
        terms: Terms,
    ) -> None:
        self._broker, self._connection, self._header = broker, connection, header
        self._session, self._terms = session, terms
        self._answer: Answer | None = None
        self._looks = 0

    def begin(self) -> Outcome:
        """Look, and answer at once or promise to. HOT."""
        broker, session, terms = self._broker, self._session, self._terms
        self._looks += 1
        read = read_now if self._looks < _LOOKS_MAX else read_patiently
        try:
            found, total, urgent = fetching.look(broker, session.wanted, terms, read)
        except NotInMemory as missing:
            return self._look_again(missing)
        if total >= terms.min_bytes or urgent or terms.max_wait_ms <= 0 or not session.wanted:
            if self._answer is not None:
                self.give(found)
                return self._answer
            records = fetching.read_nowait(found, broker.cold_readers)
            if records is not None:
                return self.encode(found, records)
            self._promise()
            self.read_cold(found)
            return self._answer
        if broker.quotas.active:
            broker.quotas.waits(self._connection, self._header.client_id)
        self._promise()
        delayed = DelayedFetch(
            broker.loop,
            terms,
            [one.partition for one in found if one.partition is not None],
            lambda: fetching.look(broker, session.wanted, terms),
            self.give,
        )
        self._connection.waiting_on(delayed.cancel)
        return self._answer

    def _promise(self) -> Answer:
        if self._answer is None:
            self._answer = Answer(self._connection, holds=True)
        return self._answer

    def _look_again(self, missing: NotInMemory) -> Answer:
        """Where a batch begins is on the device: a thread brings it into memory first."""
        reading = self._broker.loop.run_in_executor(
            None, missing.file.warm, missing.count, missing.position
        )
        reading.add_done_callback(self._looked)
        return self._promise()

    def _looked(self, done: "asyncio.Future[None]") -> None:
        fault = done.exception()
        if isinstance(fault, DiskFault):
            self._looks = _LOOKS_MAX  # The next look meets the fault where it can be answered.
        elif fault is not None:
            raise fault
        self.begin()

    def give(self, found: list[Found]) -> None:
        """Read what was found, from memory or in a thread, and answer."""
        quotas = self._broker.quotas
        if quotas.active:
            quotas.begin()
            wait_ms = quotas.fetch_refused(self._connection, self._header.client_id)
            if wait_ms:
                self._resolve(self.refuse(wait_ms))
                return
        records = fetching.read_nowait(found, self._broker.cold_readers)
        if records is None:
            self.read_cold(found)
        else:
            self._resolve(self.encode(found, records))

    def read_cold(self, found: list[Found]) -> None:
        """The device is needed: a thread reads, the loop goes on. No faster than is fair."""
        loop, began = self._broker.loop, self._broker.loop.time()

        def done(reading: "asyncio.Future[fetching.ColdRead]") -> None:
            fault = reading.exception()
            if isinstance(fault, DiskFault):
                failed = [Found(Code.KAFKA_STORAGE_ERROR) for _ in found]
                self._resolve(self.encode(failed, [b""] * len(found)))
                return
            if fault is not None:
                raise fault
            records, device_bytes, pieces = reading.result()
            for piece, warm in pieces:
                self._broker.cold_readers.was_read(piece, warm=warm)
            due = began + device_bytes / _COLD_BYTES_PER_S
            loop.call_at(due, lambda: self._resolve(self.encode(found, records)))

        loop.run_in_executor(None, fetching.read, found).add_done_callback(done)

    def _resolve(self, chunks: list[Part]) -> None:
        assert self._answer is not None
        self._answer.resolve(chunks)

    def refuse(self, wait_ms: int) -> list[Part]:
        """No records for a client beyond its quota, only how long to wait (KIP-219).

        The session that it asked for is made when it is given something.
        """
        header, session = self._header, self._session
        code, session_id = Code.NONE, NO_SESSION
        if not session.creates:
            now_ms = self._broker.clock.monotonic_ms()
            code, session_id = self._broker.fetch_sessions.answer(session, now_ms)
        return codec.write_fetch(
            header.api_version,
            header.correlation_id,
            [],
            code=code,
            session_id=session_id,
            throttle_time_ms=wait_ms,
        )

    def encode(self, found: list[Found], records: list[Part]) -> list[Part]:
        """The answer's chunks; in a session only what its fetcher does not know."""
        broker, session, header = self._broker, self._session, self._header
        code, session_id = broker.fetch_sessions.answer(session, broker.clock.monotonic_ms())
        topics: list[tuple[Topic, list[Fetched]]] = []
        if code:
            found = []
        none_aborted: tuple[()] | None = () if self._terms.committed_only else None
        for (key, _), one, data in zip(session.wanted, found, records, strict=False):
            error = int(one.code)
            if error:
                broker.requests.count_error(FETCH, error)
                if one.partition is not None:
                    one.partition.traffic.failedfetchrequests += 1
            diverges = one.diverging is not None
            size = len(data)
            if not session.tell(
                key, one.high_watermark, one.log_start_offset, error, size, diverges
            ):
                continue
            if size and one.partition is not None:
                one.partition.traffic.bytesout += size
            fetched = Fetched(
                key[1],
                error,
                one.high_watermark,
                one.last_stable_offset,
                one.log_start_offset,
                data,
                none_aborted if one.partition is not None else (),
                -1,
                one.diverging,
                _leader(one, error),
            )
            if topics and topics[-1][0] == key[0]:
                topics[-1][1].append(fetched)
            else:
                topics.append((_topic(key), [fetched]))
        throttle_ms = 0
        if broker.quotas.active:
            size_bytes = sum(map(len, records))
            throttle_ms = broker.quotas.fetched(self._connection, header.client_id, size_bytes)
        return codec.write_fetch(
            header.api_version,
            header.correlation_id,
            topics,
            code=code,
            session_id=session_id,
            throttle_time_ms=throttle_ms,
        )


def _leader(one: Found, error: int) -> tuple[int, int] | None:
    if error in (Code.NOT_LEADER_OR_FOLLOWER, Code.FENCED_LEADER_EPOCH) and one.partition:
        return one.partition.replica.leader, one.partition.replica.leader_epoch
    return None


def _topic(key: Key) -> Topic:
    topic: Topic = key[0]  # type: ignore[assignment]
    return topic
