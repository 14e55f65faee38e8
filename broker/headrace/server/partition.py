"""A partition on this broker: its log on disk, its replica state, and who waits for it.

`append` is the hot path of Produce: one check of the 61-byte header, one comparison with the
producer's last sequence, two integers written in place, one write. No record is looked at
unless the topic's settings ask for it.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from headrace.base.errors import Code, Refusal
from headrace.base.image import PartitionState
from headrace.config.topic import LogSettings
from headrace.core.producers import Duplicate, Producers
from headrace.core.replica import Replica
from headrace.server.disk_reserve import Room
from headrace.server.flusher import Flusher
from headrace.server.record_policy import RecordPolicy
from headrace.server.traffic import TopicTraffic
from headrace.storage.disk import DiskFault, DiskFull, NoDescriptor
from headrace.storage.log import Log
from headrace.wire.batch import check_batch, read_batch_header, set_append_time, stamp

NO_TIMESTAMP = -1


class Appended(NamedTuple):
    """What a Produce answers for one partition; `end_offset` is what acks=all waits for."""

    base_offset: int
    end_offset: int
    append_time_ms: int


class Partition:
    """Mutable; owned by the event loop."""

    __slots__ = (
        "_commit_waiters",
        "_data_waiters",
        "_flusher",
        "_policy",
        "_room",
        "_settings",
        "durable",
        "failure",
        "index",
        "log",
        "producers",
        "replica",
        "sync_at_bytes",
        "topic",
        "topic_id",
        "traffic",
        "unsynced_bytes",
    )

    def __init__(
        self,
        *,
        topic: str,
        topic_id: UUID,
        index: int,
        log: Log,
        producers: Producers,
        broker_id: int,
        flusher: Flusher,
        room: Room,
        traffic: TopicTraffic,
        high_watermark: int | None = None,
    ) -> None:
        self.topic, self.topic_id, self.index = topic, topic_id, index
        self.log, self.producers = log, producers
        self.traffic = traffic
        self.unsynced_bytes = 0
        self.sync_at_bytes = flusher.sync_at_bytes(log.settings)
        self.failure: str | None = None
        self.durable = log.settings.durability == "ack"
        end = log.log_end_offset
        if high_watermark is None:
            # A killed process leaves batches that recovery finds and no device has yet.
            durable_end = max(log.durable_offset, log.log_start_offset)
            high_watermark = durable_end if self.durable else end
        self.replica = Replica(
            broker_id,
            log_end_offset=end,
            high_watermark=high_watermark,
            counts_durable=self.durable,
        )
        self._flusher = flusher
        self._room = room
        self._settings = log.settings
        self._policy = RecordPolicy.of(log.settings)
        self._commit_waiters: deque[tuple[int, Callable[[], None]]] = deque()
        self._data_waiters: dict[Callable[[], None], None] = {}
        if log.durable_offset < end and log.settings.durability != "never":
            # In `interval` as well: nobody knows how long a killed process had it unsynced.
            flusher.soon(self)

    @property
    def name(self) -> str:
        """As in messages: topic-partition."""
        return f"{self.topic}-{self.index}"

    @property
    def leader_epoch(self) -> int:
        return self.replica.leader_epoch

    @property
    def high_watermark(self) -> int:
        return self.replica.high_watermark

    @property
    def last_stable_offset(self) -> int:
        return self.replica.last_stable_offset

    # Metadata.

    def assign(self, state: PartitionState, min_insync_replicas: int) -> None:
        """Follow the cluster image: leadership, in-sync replicas, leader epoch."""
        replica = self.replica
        replica.min_insync_replicas = min_insync_replicas
        if state.leader_epoch > replica.leader_epoch and state.leader == replica.broker_id:
            # Rule 12: a new leader's epoch begins at its log end, even if it never writes.
            self.log.epochs.assign(state.leader_epoch, self.log.log_end_offset)
        if replica.assign(state):
            self._committed_more()

    def configure(self, settings: LogSettings) -> None:
        """Apply changed topic settings."""
        self.log.settings = self._settings = settings
        self._policy = RecordPolicy.of(settings)
        self.durable = settings.durability == "ack"
        self.sync_at_bytes = self._flusher.sync_at_bytes(settings)
        if self.replica.count_durable(self.durable):
            self._committed_more()
        if self.log.durable_offset < self.log.log_end_offset:
            if self.durable:
                self._flusher.soon(self)
            elif settings.durability == "interval":
                self._flusher.due(self)

    # Produce.

    def append(
        self, frame: memoryview, start: int, end: int, acks: int, now_ms: int, opened: bool = False
    ) -> Appended | Refusal | RecordPolicy:
        """Append the one batch that a client sent for this partition. HOT.

        The batch is stamped in place. Refusals carry Kafka's codes; a full disk gives
        KAFKA_STORAGE_ERROR and leaves the log as it was. A policy is for the caller to open the
        batch with, off this path, and to come again with what that made, `opened`.
        """
        if self.failure is not None:
            return Refusal(Code.KAFKA_STORAGE_ERROR, self.failure)
        if self._room.full:
            return self.disk_full()
        replica, log = self.replica, self.log
        refused = replica.refuses(acks)
        if refused is not None:
            return Refusal(refused, f"{self.name} cannot take this write on this broker now")
        header = check_batch(frame, start, end, self._settings, now_ms)
        if isinstance(header, Refusal):
            return header
        producer_id = header.producer_id
        if producer_id >= 0:
            verdict = self.producers.check(
                producer_id,
                header.producer_epoch,
                header.base_sequence,
                header.last_offset_delta,
            )
            if verdict is not None:
                return _already(verdict)
        base_offset = log.log_end_offset
        batch = frame[start:end]
        append_time_ms = NO_TIMESTAMP
        policy = self._policy
        if policy is not None:
            if not opened and policy.opens(header):
                return policy
            if policy.append_time:
                set_append_time(batch, 0, now_ms)
                header = read_batch_header(batch, 0)
                append_time_ms = now_ms
        stamp(batch, 0, base_offset, replica.leader_epoch)
        last_offset = base_offset + header.last_offset_delta
        try:
            log.append(
                batch,
                last_offset=last_offset,
                max_timestamp=header.max_timestamp,
                leader_epoch=replica.leader_epoch,
                now_ms=now_ms,
            )
        except DiskFull as full:
            return self.not_written(full)
        except DiskFault as fault:
            return self.fail(str(fault))
        if producer_id >= 0:
            self.producers.appended(
                producer_id,
                header.producer_epoch,
                header.base_sequence,
                header.last_offset_delta,
                base_offset,
                header.max_timestamp,
            )
        traffic = self.traffic
        traffic.bytesin += len(batch)
        traffic.messagesin += header.record_count
        self._grown(last_offset + 1, len(batch))
        return Appended(base_offset, last_offset + 1, append_time_ms)

    def append_as_leader(self, batch: bytearray, now_ms: int) -> int:
        """Append a batch of our own (a coordinator's records). Returns its base offset.

        Raises DiskFull or DiskFault; the caller answers KAFKA_STORAGE_ERROR.
        """
        header = read_batch_header(memoryview(batch), 0)
        base_offset = self.log.log_end_offset
        stamp(memoryview(batch), 0, base_offset, self.leader_epoch)
        last_offset = base_offset + header.last_offset_delta
        self.log.append(
            batch,
            last_offset=last_offset,
            max_timestamp=header.max_timestamp,
            leader_epoch=self.leader_epoch,
            now_ms=now_ms,
        )
        self._grown(last_offset + 1, len(batch))
        return base_offset

    def _grown(self, end_offset: int, count: int) -> None:
        if self.replica.appended(end_offset):
            if self._data_waiters or self._commit_waiters:
                self._committed_more()
        elif self.durable:
            self._flusher.soon(self)
        self.unsynced_bytes += count
        if self.unsynced_bytes >= self.sync_at_bytes:
            self._flusher.due(self)

    def flushed(self, offset: int) -> None:
        """Everything below `offset` is on the device."""
        if self.replica.flushed(offset):
            self._committed_more()

    def not_written(self, why: DiskFull) -> Refusal:
        """A write was not done, and the log is as it was."""
        if isinstance(why, NoDescriptor):
            return Refusal(Code.KAFKA_STORAGE_ERROR, f"{self.name}: {why}")
        return self.disk_full()

    def disk_full(self) -> Refusal:
        """A write finds no room: everybody's are refused until there is some."""
        self._room.no_room()
        return Refusal(
            Code.KAFKA_STORAGE_ERROR,
            f"{self.name}: the disk is full; delete topics or records, or make room",
        )

    def fail(self, why: str) -> Refusal:
        """The disk failed under this partition: it serves nothing until a restart."""
        self.failure = f"{self.name} is offline, its disk failed: {why}"
        self._flusher.failed(self, why)
        waiting, self._commit_waiters = self._commit_waiters, deque()
        for _, wake in waiting:
            wake()
        return Refusal(Code.KAFKA_STORAGE_ERROR, self.failure)

    # Waiting.

    def when_committed(self, offset: int, wake: Callable[[], None]) -> bool:
        """True if everything below `offset` is committed; else `wake` is called once it is."""
        if self.replica.high_watermark >= offset:
            return True
        self._commit_waiters.append((offset, wake))
        return False

    def when_readable(self, wake: Callable[[], None]) -> None:
        """Call `wake` at each advance of what readers may see, until `no_longer` is called."""
        self._data_waiters[wake] = None

    def no_longer(self, wake: Callable[[], None]) -> None:
        """Forget a waiter; absent is fine."""
        self._data_waiters.pop(wake, None)

    def _committed_more(self) -> None:
        waiting, high_watermark = self._commit_waiters, self.replica.high_watermark
        while waiting and waiting[0][0] <= high_watermark:
            waiting.popleft()[1]()
        for wake in tuple(self._data_waiters):
            wake()

    def closed(self) -> None:
        """The partition goes away: whoever waits looks again and finds it gone."""
        self.failure = self.failure or f"{self.name} is no longer on this broker"
        waiting, self._commit_waiters = self._commit_waiters, deque()
        for _, wake in waiting:
            wake()
        for wake in tuple(self._data_waiters):
            wake()


def _already(verdict: Duplicate | Refusal) -> Appended | Refusal:
    if isinstance(verdict, Refusal):
        return verdict
    return Appended(verdict.base_offset, verdict.last_offset + 1, NO_TIMESTAMP)
