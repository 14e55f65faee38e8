"""A batch of a producer: from its first record to the broker's answer."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

from headrace.client.encode import RECORDS_MAX, encode_values
from headrace.wire.batch import HEADER_BYTES, MAGIC, NO_PRODUCER_ID, BatchHeader
from headrace.wire.records import NewRecord, build_batch, seal_batch

RECORD_OVERHEAD_BYTES: Final = 16
"""At most this much stands around key and value in our batches, headers aside."""
HEADER_OVERHEAD_BYTES: Final = 10


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
        "first",
        "size_bytes",
        "start_ms",
    )

    def __init__(self, done: asyncio.Future[int], created: float) -> None:
        self.done = done
        self.created = created
        self.start_ms = now_ms()
        self.count = 0
        self.first = 0  # the place of its first record among all that the producer was given
        self.size_bytes = 0  # of the records, at most
        self.encoded: bytes | bytearray | None = None
        self._runs: list[Sequence[bytes]] = []
        self._records: list[NewRecord] | None = None

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
            self._records += [NewRecord(None, value, self.start_ms) for value in values]
        self.count += len(values)
        self.size_bytes += size_bytes

    def add_record(self, record: NewRecord, size_bytes: int) -> None:
        """One record with all it has."""
        if self._records is None:
            bare = chain.from_iterable(self._runs)
            self._records = [NewRecord(None, value, self.start_ms) for value in bare]
            self._runs.clear()
        self._records.append(record)
        self.count += 1
        self.size_bytes += size_bytes

    def encode(self, codec: int, producer: ProducerState) -> None:
        """Fix the bytes: a retry sends the same, or the broker could not know it again."""
        if self._records is not None:
            self.encoded = build_batch(
                self._records,
                codec=codec,
                producer_id=producer.producer_id,
                producer_epoch=producer.producer_epoch,
                base_sequence=producer.base_sequence,
            )
            self._records = None
            return
        runs = self._runs
        header = BatchHeader(
            base_offset=0,
            length=0,
            leader_epoch=-1,
            magic=MAGIC,
            crc=0,
            attributes=0,
            last_offset_delta=self.count - 1,
            base_timestamp=self.start_ms,
            max_timestamp=self.start_ms,
            producer_id=producer.producer_id,
            producer_epoch=producer.producer_epoch,
            base_sequence=producer.base_sequence,
            record_count=self.count,
        )
        values = runs[0] if len(runs) == 1 else list(chain.from_iterable(runs))
        self.encoded = seal_batch(header, encode_values(values), codec)
        runs.clear()

    def fail(self, error: Exception) -> None:
        """Give `done` the error, which nobody need fetch: the lane keeps it as well."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()


def record_bytes(record: NewRecord) -> int:
    """What a record takes in a batch, at most."""
    size = RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += HEADER_OVERHEAD_BYTES + 4 * len(name) + len(value or b"")
    return size


def values_bytes(values: Sequence[bytes]) -> int:
    """What bare values take in a batch, at most."""
    return sum(map(len, values)) + RECORD_OVERHEAD_BYTES * len(values)


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
