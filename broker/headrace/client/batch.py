"""A batch of a producer: from its first record to the broker's answer."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

from crc32c import crc32c

from headrace.client.encode import (
    RECORD_OVERHEAD_BYTES,
    RECORDS_MAX,
    OutgoingRecord,
    encode_records,
    encode_values,
)
from headrace.wire import batch as wire_batch
from headrace.wire.batch import CRC_FROM, CRC_POSITION, HEADER, HEADER_BYTES, NO_PRODUCER_ID

_NO_EPOCH: Final = -1


class ProducerState(NamedTuple):
    """Who sends a batch, and its place in their sequence (KIP-98)."""

    producer_id: int = NO_PRODUCER_ID
    producer_epoch: int = -1
    base_sequence: int = -1


class Batch:
    """Records on their way to one partition. `done` gets the base offset, or the error.

    It holds either runs of bare values or whole records: the first record that needs more than
    a value turns the runs into records.
    """

    __slots__ = (
        "_records",
        "_runs",
        "count",
        "created",
        "done",
        "encoded",
        "size_bytes",
        "start_ms",
    )

    def __init__(self, done: asyncio.Future[int], created: float) -> None:
        self.done = done
        self.created = created
        self.start_ms = time.time_ns() // 1_000_000
        self.count = 0
        self.size_bytes = 0  # of the records, at most
        self.encoded: bytes | None = None
        self._runs: list[Sequence[bytes]] = []
        self._records: list[OutgoingRecord] | None = None

    def has_room(self, count: int, size_bytes: int, batch_bytes: int) -> bool:
        """Whether that much more fits. An empty batch takes any one record."""
        if self.count == 0:
            return True
        full = HEADER_BYTES + self.size_bytes + size_bytes > batch_bytes
        return not full and self.count + count <= RECORDS_MAX

    def add_values(self, values: Sequence[bytes], size_bytes: int) -> None:
        """Bare values, stamped with the time the batch began; `size_bytes` is of them all."""
        if self._records is None:
            self._runs.append(values)
        else:
            self._records += [OutgoingRecord(None, v, (), self.start_ms) for v in values]
        self.count += len(values)
        self.size_bytes += size_bytes

    def add_record(self, record: OutgoingRecord) -> None:
        """One record with all it has."""
        if self._records is None:
            bare = chain.from_iterable(self._runs)
            self._records = [OutgoingRecord(None, v, (), self.start_ms) for v in bare]
            self._runs.clear()
        self._records.append(record)
        self.count += 1
        self.size_bytes += record.size_bytes

    def encode(self, codec: int, producer: ProducerState) -> None:
        """Fix the bytes: a retry sends the same, or the broker could not know it again."""
        base_ms = max_ms = self.start_ms
        if self._records is None:
            runs = self._runs
            data = encode_values(runs[0] if len(runs) == 1 else list(chain.from_iterable(runs)))
        else:
            base_ms = self._records[0].timestamp_ms
            max_ms = max(record.timestamp_ms for record in self._records)
            data = encode_records(self._records, base_ms)
        if codec:
            from headrace.wire.compression import compress  # cramjam is not needed for plain lines

            data = bytes(compress(codec, data))
        self.encoded = build_batch(
            data,
            count=self.count,
            base_timestamp_ms=base_ms,
            max_timestamp_ms=max_ms,
            codec=codec,
            producer=producer,
        )
        self._runs.clear()
        self._records = None

    def fail(self, error: Exception) -> None:
        """Give `done` the error, which nobody need fetch: the lane keeps it as well."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()


def build_batch(
    records: bytes,
    *,
    count: int,
    base_timestamp_ms: int,
    max_timestamp_ms: int,
    codec: int,
    producer: ProducerState,
) -> bytes:
    """A batch (magic 2) around `records`, which are already compressed with `codec`."""
    header = bytearray(HEADER_BYTES)
    length = HEADER_BYTES - wire_batch.LENGTH_PREFIX_BYTES + len(records)
    fixed = (0, length, _NO_EPOCH, wire_batch.MAGIC, 0, codec, count - 1)
    HEADER.pack_into(header, 0, *fixed, base_timestamp_ms, max_timestamp_ms, *producer, count)
    crc = crc32c(records, crc32c(header[CRC_FROM:]))
    header[CRC_POSITION:CRC_FROM] = crc.to_bytes(4, "big")
    return bytes(header) + records


def values_bytes(values: Sequence[bytes]) -> int:
    """What bare values take in a batch, at most."""
    return sum(map(len, values)) + RECORD_OVERHEAD_BYTES * len(values)
