"""Write records to topics: batched by partition, in order, and never twice with acks=all.

`send` is for records with keys and headers, `send_values` for runs of bare lines, which cost a
fifth of a microsecond each. Both wait while `buffer_bytes` are not acknowledged, so a producer
cannot run ahead of its broker.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Self

from headrace.client.batch import Batch, now_ms, record_bytes, values_bytes
from headrace.client.cluster import Cluster
from headrace.client.encode import RECORDS_MAX
from headrace.client.lane import Lane
from headrace.client.partitioner import partition_for
from headrace.client.settings import ProducerSettings
from headrace.wire.records import Header, NewRecord


class Delivery(NamedTuple):
    """A record on its way."""

    topic: str
    partition: int
    batch: Batch
    place: int

    async def offset(self) -> int:
        """Its offset once acknowledged (-1 with acks=0). Raises ClientError."""
        base_offset = await asyncio.shield(self.batch.done)
        return base_offset + self.place if base_offset >= 0 else -1


class Producer:
    """An async context manager; leaving it without an error flushes."""

    def __init__(self, cluster: Cluster, settings: ProducerSettings | None = None) -> None:
        self.settings = settings or ProducerSettings()
        self.records_acknowledged = 0
        self._cluster = cluster
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._partition_counts: dict[str, int] = {}
        self._sticky: dict[str, tuple[int, Batch | None]] = {}
        self._buffered_bytes = 0
        self._records_given = 0
        self._room = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                await self.flush()
        finally:
            await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Delivery:
        """Queue one record. Raises ClientError where its partition has failed since `flush`.

        A key chooses the partition as Kafka's clients do; without one, each batch goes to the
        next partition.
        """
        record = NewRecord(key, value, now_ms() if timestamp_ms is None else timestamp_ms, headers)
        size_bytes = record_bytes(record)
        index = partition
        if index is None:
            index = await self._choose(topic, key, 1, size_bytes)
        lane = await self._lane(topic, index)
        await self._wait_for_room(lane)
        batch, place = lane.add_record(record, size_bytes)
        self._added(batch, 1, size_bytes)
        if partition is None and key is None:
            self._sticky[topic] = (index, batch)
        return Delivery(topic, index, batch, place)

    async def send_values(
        self, topic: str, values: Sequence[bytes], *, partition: int | None = None
    ) -> None:
        """Queue bare values, in order where the topic has one partition or one is given."""
        if not values:
            return
        size_bytes = values_bytes(values)
        if len(values) > 1 and (
            size_bytes > self.settings.batch_bytes // 2 or len(values) > RECORDS_MAX // 2
        ):
            half = len(values) // 2
            await self.send_values(topic, values[:half], partition=partition)
            await self.send_values(topic, values[half:], partition=partition)
            return
        index = partition
        if index is None:
            index = await self._choose(topic, None, len(values), size_bytes)
        lane = await self._lane(topic, index)
        await self._wait_for_room(lane)
        batch = lane.add_values(values, size_bytes)
        self._added(batch, len(values), size_bytes)
        self._sticky[topic] = (index, batch)

    async def flush(self) -> None:
        """Wait until all is acknowledged. Raises the first failure since the last flush."""
        while busy := [lane.flush() for lane in self._lanes.values() if not lane.idle]:
            await asyncio.gather(*busy)
        failures = [lane.take_failure() for lane in self._lanes.values()]
        if failure := next(filter(None, failures), None):
            raise failure

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has; a missing one is created if the broker allows."""
        count = self._partition_counts.get(topic)
        if count is None:
            found = await self._cluster.topic(topic, create=True)
            count = self._partition_counts[topic] = len(found.partitions)
        return count

    async def _choose(self, topic: str, key: bytes | None, count: int, size_bytes: int) -> int:
        partition_count = await self.partitions(topic)
        if key is not None:
            return partition_for(key, partition_count)
        index, batch = self._sticky.get(topic, (partition_count - 1, None))
        lane = self._lanes.get((topic, index))
        if lane is not None and batch is not None and lane.takes_more(batch, count, size_bytes):
            return index
        return (index + 1) % partition_count

    async def _lane(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            await self.partitions(topic)
            await self._cluster.partition(topic, partition)
            lane = self._lanes.setdefault(
                (topic, partition),
                Lane(self._cluster, topic, partition, self.settings, self._released),
            )
        return lane

    async def _wait_for_room(self, lane: Lane) -> None:
        while self._buffered_bytes >= self.settings.buffer_bytes and lane.failure is None:
            self._room.clear()
            await self._room.wait()
        if lane.failure is not None:
            raise lane.failure

    def _added(self, batch: Batch, count: int, size_bytes: int) -> None:
        if batch.count == count:
            batch.first = self._records_given
        self._records_given += count
        self._buffered_bytes += size_bytes

    def _released(self, batch: Batch, error: Exception | None) -> None:
        self._buffered_bytes -= batch.size_bytes
        if error is None:
            self.records_acknowledged += batch.count
        self._room.set()
