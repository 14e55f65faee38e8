"""One partition's way to its leader: batches in order, a few in flight, retried without reorder.

A lane is one task. Batches wait in `_open` (still filling), `_unsent` and `_in_flight`. Answers
are taken from the head of `_in_flight` only. After a retriable failure nothing new is sent until
every batch in flight has its answer; then those without success go back to the front in order,
with the sequences they had, so the broker drops what it already has (KIP-98).

Where the broker cannot drop duplicates (acks 0 or 1), one batch is in flight at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from headrace.base.errors import Code
from headrace.client.batch import Batch, ProducerState
from headrace.client.cluster import RETRY_MS, RETRY_MS_MAX, Cluster
from headrace.client.connection import Connection
from headrace.client.errors import (
    BrokerRefused,
    ClientError,
    ConnectionLost,
    RecordsRefused,
    RequestTimedOut,
    Unreachable,
    code_of,
    in_words,
)
from headrace.client.settings import ProducerSettings
from headrace.wire.messages import read_response
from headrace.wire.records import NewRecord
from headrace.wire.versions import INIT_PRODUCER_ID, PRODUCE

IN_FLIGHT_MAX: Final = 5
"""The broker remembers five batches of a producer, so only five can be told from duplicates."""
FIRST_VERSION_WITH_TOPIC_IDS: Final = 13
SEQUENCE_MASK: Final = 0x7FFFFFFF

_LOST = (ConnectionLost, RequestTimedOut, Unreachable)


class Lane:
    """Made by Producer, one for each partition that is written."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        partition: int,
        settings: ProducerSettings,
        released: Callable[[Batch, Exception | None], None],
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.failure: Exception | None = None
        """Why what waited was not written; a ClientError, unless it is a bug of ours."""
        self._cluster = cluster
        self._settings = settings
        self._released = released
        self._in_flight_max = IN_FLIGHT_MAX if settings.idempotent else 1
        self._open: Batch | None = None
        self._unsent: deque[Batch] = deque()
        self._in_flight: deque[tuple[Batch, asyncio.Future[memoryview], int]] = deque()
        self._producer = ProducerState()
        self._wake = asyncio.Event()
        self._flushing = False
        self._deadline: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run(), name=f"produce {topic}-{partition}")
        self._task.add_done_callback(self._ended)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent or answered."""
        return not (self._open or self._unsent or self._in_flight)

    def add_values(self, values: Sequence[bytes], size_bytes: int) -> Batch:
        """Put bare values, all in one batch; the caller has seen that they fit one."""
        batch = self._room_for(len(values), size_bytes)
        batch.add_values(values, size_bytes)
        return batch

    def add_record(self, record: NewRecord, size_bytes: int) -> tuple[Batch, int]:
        """Put one record; its batch and its place there."""
        batch = self._room_for(1, size_bytes)
        batch.add_record(record, size_bytes)
        return batch, batch.count - 1

    def takes_more(self, batch: Batch, count: int, size_bytes: int) -> bool:
        """Whether that is the batch now filling, and so much more fits."""
        return batch is self._open and batch.has_room(count, size_bytes, self._settings.batch_bytes)

    def take_failure(self) -> Exception | None:
        """The failure, once; a lane whose task has ended keeps it, for it sends no more."""
        failure = self.failure
        if not self._task.done():
            self.failure = None
        return failure

    async def flush(self) -> None:
        """Return once nothing waits; whether it succeeded is in `failure` and the futures."""
        self._flushing = True
        self._wake.set()
        last = self._open or (self._unsent and self._unsent[-1]) or None
        if last is None and self._in_flight:
            last = self._in_flight[-1][0]
        if last is not None:
            await asyncio.wait([last.done])
        self._flushing = False

    async def close(self) -> None:
        """Stop at once; what waits fails."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def _room_for(self, count: int, size_bytes: int) -> Batch:
        batch = self._open
        if batch is not None and not batch.has_room(count, size_bytes, self._settings.batch_bytes):
            self._seal()
            batch = None
        if batch is None:
            loop = asyncio.get_running_loop()
            batch = self._open = Batch(loop.create_future(), loop.time())
            self._deadline = loop.call_later(self._settings.linger_ms / 1000, self._wake.set)
        return batch

    def _seal(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._open is not None:
            self._unsent.append(self._open)
            self._open = None
            self._wake.set()

    async def _run(self) -> None:
        pause_ms = RETRY_MS
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if self._reap():
                    pause_ms = RETRY_MS
                await self._fill()
            except _Retry as retry:
                await self._take_back()
                await self._pause(retry.why, pause_ms)
                pause_ms = min(pause_ms * 2, RETRY_MS_MAX)
            except ClientError as error:
                await self._take_back()
                self._fail(error)

    def _reap(self) -> bool:
        """Take the answers that have come, oldest first. True if any batch was written."""
        written = False
        while self._in_flight and self._in_flight[0][1].done():
            batch, answer, version = self._in_flight[0]
            try:
                frame = answer.result()
            except _LOST as error:
                raise _Retry(error) from None
            base_offset = self._read_answer(batch, frame, version)
            self._in_flight.popleft()
            self._written(batch, base_offset)
            written = True
        return written

    def _read_answer(self, batch: Batch, frame: memoryview, version: int) -> int:
        """The base offset. Raises _Retry or BrokerRefused."""
        if self._settings.acks == 0:
            return -1
        topic = read_response(PRODUCE, version, frame).responses[0]
        answer = topic.partition_responses[0]
        code = code_of(answer.error_code)
        if code in (Code.NONE, Code.DUPLICATE_SEQUENCE_NUMBER):
            return int(answer.base_offset)
        error = RecordsRefused(
            code,
            f"Writing to {self.topic}-{self.partition}",
            in_words(code, answer.error_message),
            batch.first,
            batch.count,
        )
        if code.retriable and code is not Code.CORRUPT_MESSAGE:
            raise _Retry(error)
        raise error

    async def _fill(self) -> None:
        """Send what is due. Raises _Retry, ClientError."""
        if self._open is not None and not self._unsent and not self._in_flight:
            now = asyncio.get_running_loop().time()
            lingered_ms = (now - self._open.created) * 1000
            # Half a millisecond of grace: a timer may fire that early.
            if self._flushing or lingered_ms >= self._settings.linger_ms - 0.5:
                self._seal()
        elif self._flushing:
            self._seal()
        if not self._unsent:
            return
        connection, fields_of, version = await self._leader()
        if self._settings.idempotent and self._producer.producer_id < 0:
            self._producer = await self._new_producer()
        while self._unsent and len(self._in_flight) < self._in_flight_max:
            self._send(self._unsent[0], connection, fields_of, version)

    def _send(
        self, batch: Batch, connection: Connection, topic: Mapping[str, Any], version: int
    ) -> None:
        if batch.encoded is None:
            batch.encode(self._settings.codec, self._producer)
            if self._settings.idempotent:
                next_sequence = (self._producer.base_sequence + batch.count) & SEQUENCE_MASK
                self._producer = self._producer._replace(base_sequence=next_sequence)
        fields = {
            "transactional_id": None,
            "acks": self._settings.acks,
            "timeout_ms": self._settings.request_timeout_ms,
            "topic_data": [
                {
                    **topic,
                    "partition_data": [{"index": self.partition, "records": batch.encoded}],
                }
            ],
        }
        try:
            answer = connection.send(PRODUCE, version, fields, answered=self._settings.acks != 0)
        except ConnectionLost as error:
            raise _Retry(error) from None
        self._unsent.popleft()
        self._in_flight.append((batch, answer, version))
        if answer.done():
            self._wake.set()
        else:
            # The broker waits that long for replicas; a little later nobody is there.
            timeout_s = self._settings.request_timeout_ms / 1000 * 1.5
            timer = asyncio.get_running_loop().call_later(timeout_s, connection.close)
            answer.add_done_callback(lambda _: timer.cancel())
            answer.add_done_callback(lambda _: self._wake.set())

    async def _leader(self) -> tuple[Connection, Mapping[str, Any], int]:
        """A connection to the leader, how it calls the topic, and the version to speak."""
        try:
            partition = await self._cluster.partition(self.topic, self.partition)
            if partition.leader < 0:
                raise _Retry(
                    BrokerRefused(Code.LEADER_NOT_AVAILABLE, f"{self.topic}-{self.partition}")
                )
            connection = await self._cluster.connection(partition.leader, "produce")
        except _LOST as error:
            raise _Retry(error) from None
        version = connection.version(PRODUCE)
        if version < FIRST_VERSION_WITH_TOPIC_IDS:
            return connection, {"name": self.topic}, version
        return connection, {"topic_id": self._cluster.metadata.topics[self.topic].topic_id}, version

    async def _new_producer(self) -> ProducerState:
        fields = {
            "transactional_id": None,
            "transaction_timeout_ms": 0,
            "producer_id": -1,
            "producer_epoch": -1,
        }
        try:
            answer = await self._cluster.request(INIT_PRODUCER_ID, fields)
        except _LOST as error:
            raise _Retry(error) from None
        code = code_of(answer.error_code)
        if code is not Code.NONE:
            refused = BrokerRefused(code, "Asking for a producer id")
            raise _Retry(refused) if code.retriable else refused
        return ProducerState(answer.producer_id, answer.producer_epoch, 0)

    async def _take_back(self) -> None:
        """Wait for every batch in flight, keep the successes, put the others back in order."""
        if self._in_flight:
            await asyncio.wait([answer for _, answer, _ in self._in_flight])
        back: list[Batch] = []
        for batch, answer, version in self._in_flight:
            try:
                base_offset = self._read_answer(batch, answer.result(), version)
            except (_Retry, ClientError):
                back.append(batch)
            else:
                self._written(batch, base_offset)
        self._in_flight.clear()
        self._unsent.extendleft(reversed(back))

    async def _pause(self, why: ClientError, pause_ms: float) -> None:
        now = asyncio.get_running_loop().time()
        if self._unsent:
            waited_ms = (now - self._unsent[0].created) * 1000
            if waited_ms > self._settings.delivery_timeout_ms:
                self._fail(why)
                return
        await asyncio.sleep(pause_ms / 1000)
        self._cluster.forget(self.topic)
        self._wake.set()

    def _written(self, batch: Batch, base_offset: int) -> None:
        batch.done.set_result(base_offset)
        self._released(batch, None)

    def _fail(self, error: ClientError) -> None:
        """Everything that waits fails: to go past a lost batch would leave a hole unseen."""
        self.failure = error
        self._seal()
        for batch in self._unsent:
            batch.fail(error)
            self._released(batch, error)
        self._unsent.clear()
        # The sequence has a gap now, which only a new producer id may skip.
        self._producer = ProducerState()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error: Exception = ClientError(f"The producer of {self.topic}-{self.partition} was closed")
        if not task.cancelled() and isinstance(crash := task.exception(), Exception):
            error = self.failure = crash  # `flush` and `send` raise it
        waiting = [*(b for b, _, _ in self._in_flight), *self._unsent]
        for batch in [*waiting, *([self._open] if self._open else [])]:
            batch.fail(error)
            self._released(batch, error)
        self._in_flight.clear()
        self._unsent.clear()
        self._open = None


class _Retry(Exception):
    """The same batches may be sent again. `why` is told if it goes on for too long."""

    def __init__(self, why: ClientError) -> None:
        super().__init__(str(why))
        self.why = why
