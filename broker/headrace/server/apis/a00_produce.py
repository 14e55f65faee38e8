"""Produce v3-v13. Behaviour: acks 0, 1 and all; one batch a partition (KIP-98); idempotence;
an answer that waits for replicas or for the disk does not hold up the connection's next
request. v0-v2 are advertised and refused (KAFKA-18659).

Skipped: Produce looks at a batch's header alone; records are walked only on compacted topics,
for another codec, and with record.validation=full. Kafka walks them always.
Skipped: Produce answers a repeated batch without its log append time, and no record_errors.
Skipped: Produce answers a partition that is named twice twice, and a topic without partitions;
Kafka once, and not at all.
Skipped: Produce tells log_start_offset with more refusals than Kafka.
Skipped: Produce of a transactional batch is refused with INVALID_TXN_STATE: no transactions yet.
"""

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from headrace.base.errors import Code, Refusal
from headrace.base.image import INTERNAL_TOPICS
from headrace.server.connection import Answer, Connection, Outcome
from headrace.server.partition import Appended
from headrace.server.record_policy import RecordPolicy
from headrace.wire import produce
from headrace.wire.batch import CODEC_MASK
from headrace.wire.framing import ProtocolError, RequestHeader
from headrace.wire.primitive import Topic
from headrace.wire.produce import Produced
from headrace.wire.versions import PRODUCE

if TYPE_CHECKING:
    from headrace.server.broker import Broker
    from headrace.server.partition import Partition

_FIRST_SERVED = 3
_KAFKA_ADMIN_CLIENT = "__admin_client"
"""The one client id that Kafka lets write to internal topics."""
_ZSTD_FROM = 7
_ZSTD = 4
_CODEC_BYTE = 22
"""The low byte of the attributes in a batch's header."""
_ALL = -1

Produceds = list[tuple[Topic, list[Produced]]]


def handle_frame(
    broker: "Broker", connection: Connection, header: RequestHeader, frame: memoryview
) -> Outcome:
    """Append every partition's batch, then answer, now or once it is committed. HOT."""
    version = header.api_version
    if version < _FIRST_SERVED:
        return _refuse_old(header, frame)
    request = produce.read_produce(version, frame, header.body)
    acks = request.acks
    find, now_ms = broker.partitions.find, broker.clock.wall_ms()
    answers: Produceds = []
    waiting: list[tuple[Partition, int]] = []
    to_open: list[_ToOpen] = []
    refuses_acks = acks not in (-1, 0, 1)
    for topic, items in request.topics:
        produceds = []
        for index, start, end in items:
            partition = find((topic, index))
            if refuses_acks:
                produceds.append(_refused(index, Refusal(Code.INVALID_REQUIRED_ACKS, "")))
                continue
            if partition is None:
                failed_code = broker.partitions.why_not_found((topic, index))
                produceds.append(_refused(index, Refusal(failed_code, "")))
                continue
            if version < _ZSTD_FROM and _is_zstd(frame, start, end):
                why = Refusal(Code.UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce v7")
                produceds.append(_refused(index, why, partition))
                continue
            if partition.topic in INTERNAL_TOPICS and header.client_id != _KAFKA_ADMIN_CLIENT:
                why = Refusal(Code.INVALID_TOPIC_EXCEPTION, "internal topics are the broker's own")
                produceds.append(_refused(index, why))
                continue
            made = partition.append(frame, start, end, acks, now_ms)
            if not isinstance(made, Appended):
                if isinstance(made, Refusal):
                    produceds.append(_failed(broker, partition, made))
                else:
                    batch = bytearray(frame[start:end])  # The frame is gone by then.
                    to_open.append(_ToOpen(partition, made, batch, produceds, len(produceds)))
                    produceds.append(Produced(index, Code.UNKNOWN_SERVER_ERROR))
                continue
            base_offset, end_offset, append_time_ms = made
            produceds.append(
                Produced(index, 0, base_offset, append_time_ms, partition.log.log_start_offset)
            )
            waits = acks == _ALL or partition.durable
            if waits and partition.replica.high_watermark < end_offset:
                waiting.append((partition, end_offset))
        answers.append((topic, produceds))
    throttle_ms = 0
    if broker.quotas.active:
        throttle_ms = broker.quotas.produced(connection, header.client_id, len(frame))
    if to_open or (waiting and acks):
        asked = _Asked(broker, connection, header, acks, request.timeout_ms, throttle_ms)
        answer = Answer(connection, holds=bool(to_open))
        if to_open:
            work = _open_and_append(asked, answers, waiting, to_open, answer)
            broker.dispatcher.later(connection, header, work, answer)
        else:
            _Waiting(asked, answers, waiting, answer)
        return answer
    return _answered(connection, header, acks, answers, throttle_ms)


class _Asked(NamedTuple):
    """The request, as far as its answer needs it."""

    broker: "Broker"
    connection: Connection
    header: RequestHeader
    acks: int
    timeout_ms: int
    throttle_ms: int

    def answered(self, answers: Produceds) -> bytes | None:
        """The answer with these parts."""
        return _answered(self.connection, self.header, self.acks, answers, self.throttle_ms)


class _ToOpen(NamedTuple):
    """A batch whose records are looked at first; what becomes of it goes to `answers[place]`."""

    partition: "Partition"
    policy: RecordPolicy
    batch: bytearray
    answers: list[Produced]
    place: int


async def _open_and_append(
    asked: _Asked,
    answers: Produceds,
    waiting: "list[tuple[Partition, int]]",
    to_open: Sequence[_ToOpen],
    answer: Answer,
) -> None:
    """The rest of a request in which some batches had to be opened, in the order asked."""
    broker = asked.broker
    for partition, policy, batch, produceds, place in to_open:
        made: Appended | Refusal | RecordPolicy
        opened = await broker.batches.open(policy, batch)
        if isinstance(opened, Refusal):
            made = opened
        else:
            frame, now_ms = memoryview(opened), broker.clock.wall_ms()
            made = partition.append(frame, 0, len(frame), asked.acks, now_ms, opened=True)
        if isinstance(made, Refusal):
            produceds[place] = _failed(broker, partition, made)
        elif isinstance(made, Appended):
            start = partition.log.log_start_offset
            produceds[place] = Produced(
                partition.index, 0, made.base_offset, made.append_time_ms, start
            )
            waits = asked.acks == _ALL or partition.durable
            if waits and partition.replica.high_watermark < made.end_offset:
                waiting.append((partition, made.end_offset))
    if waiting and asked.acks:
        answer.release()
        _Waiting(asked, answers, waiting, answer)
    else:
        answer.resolve(asked.answered(answers))


def _answered(
    connection: Connection, header: RequestHeader, acks: int, answers: Produceds, throttle_ms: int
) -> bytes | None:
    if acks:
        return produce.write_produce(
            header.api_version, header.correlation_id, answers, throttle_ms
        )
    if any(p.code for _, produceds in answers for p in produceds):
        connection.close("a produce with acks=0 failed; closing is how its client learns it")
    return None


def _failed(broker: "Broker", partition: "Partition", why: Refusal) -> Produced:
    partition.traffic.failedproducerequests += 1
    broker.requests.count_error(PRODUCE, why.code)
    return _refused(partition.index, why, partition)


def _is_zstd(frame: memoryview, start: int, end: int) -> bool:
    return end - start > _CODEC_BYTE and frame[start + _CODEC_BYTE] & CODEC_MASK == _ZSTD


_WITHOUT_START = frozenset(
    {
        Code.CORRUPT_MESSAGE,
        Code.KAFKA_STORAGE_ERROR,
        Code.MESSAGE_TOO_LARGE,
        Code.NOT_ENOUGH_REPLICAS,
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.RECORD_LIST_TOO_LARGE,
    }
)
"""Kafka tells where the log starts with every other refusal by a partition."""


def _refused(index: int, why: Refusal, partition: "Partition | None" = None) -> Produced:
    leader, start = None, -1
    if partition is not None and why.code not in _WITHOUT_START:
        start = partition.log.log_start_offset
    if why.code == Code.NOT_LEADER_OR_FOLLOWER and partition is not None:
        leader = (partition.replica.leader, partition.replica.leader_epoch)
    return Produced(
        index,
        why.code,
        log_start_offset=start,
        error_message=why.message or None,
        leader=leader,
    )


class _Waiting:
    """A produce that is appended and not yet committed everywhere it must be."""

    __slots__ = ("_answer", "_answers", "_asked", "_left", "_pending", "_timer")

    def __init__(
        self,
        asked: _Asked,
        answers: Produceds,
        waiting: "list[tuple[Partition, int]]",
        answer: Answer,
    ) -> None:
        self._asked, self._answers, self._answer = asked, answers, answer
        self._pending = waiting
        self._left = len(waiting)
        timeout_s = max(asked.timeout_ms, 0) / 1000
        self._timer = asked.broker.loop.call_later(timeout_s, self._expire)
        for partition, end_offset in waiting:
            if partition.when_committed(end_offset, self._committed):
                self._left -= 1
        if not self._left:
            self._finish()

    def _committed(self) -> None:
        self._left -= 1
        if not self._left and not self._answer.ready:
            self._finish()

    def _expire(self) -> None:
        if not self._answer.ready:
            self._finish()

    def _finish(self) -> None:
        """Answer; what is still not committed was not in time, or its disk failed."""
        self._timer.cancel()
        for partition, end_offset in self._pending:
            if partition.failure is not None:
                self._fail(partition, Code.KAFKA_STORAGE_ERROR)
            elif partition.replica.high_watermark < end_offset:
                self._fail(partition, Code.REQUEST_TIMED_OUT)
        self._answer.resolve(self._asked.answered(self._answers))

    def _fail(self, partition: "Partition", code: Code) -> None:
        self._asked.broker.requests.count_error(PRODUCE, code)
        for topic, produceds in self._answers:
            if topic not in (partition.topic, partition.topic_id.bytes):
                continue
            for place, produced in enumerate(produceds):
                if produced.partition == partition.index and not produced.code:
                    produceds[place] = Produced(partition.index, code)


_V0_HEAD = struct.Struct(">hii")


def _refuse_old(header: RequestHeader, frame: memoryview) -> bytes | None:
    """Every partition of a v0-v2 request gets UNSUPPORTED_VERSION, in that version's layout."""
    try:
        acks, _, topic_count = _V0_HEAD.unpack_from(frame, header.body)
        position = header.body + _V0_HEAD.size
        out = [struct.pack(">i", topic_count)]
        total = 0
        for _ in range(topic_count):
            (size,) = struct.unpack_from(">h", frame, position)
            if size < 0:
                raise ProtocolError("a topic without a name in a Produce request")
            name = bytes(frame[position : position + 2 + size])
            position += 2 + size
            (partition_count,) = struct.unpack_from(">i", frame, position)
            position += 4
            total += partition_count
            if total > produce.PARTITIONS_MAX:
                raise ProtocolError(f"{total} partitions in one Produce")
            out.append(name + struct.pack(">i", partition_count))
            for _ in range(partition_count):
                index, size = struct.unpack_from(">ii", frame, position)
                if size < 0:
                    raise ProtocolError("a produce of records with negative size")
                position += 8 + size
                item = struct.pack(">ihq", index, Code.UNSUPPORTED_VERSION, -1)
                out.append(item + (struct.pack(">q", -1) if header.api_version >= 2 else b""))
    except struct.error:
        raise ProtocolError("the frame ends inside a Produce request") from None
    if acks == 0:
        return None
    if header.api_version >= 1:
        out.append(struct.pack(">i", 0))
    body = struct.pack(">i", header.correlation_id) + b"".join(out)
    return struct.pack(">i", len(body)) + body
