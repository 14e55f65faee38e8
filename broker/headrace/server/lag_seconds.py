"""How old the next record of each group is, for /metrics: read from the device, so little at once.

An age is one batch header's timestamp. It is read once for each place a group stands at; a
scrape reads few of them and goes on where the one before stopped. What has no turn shows what
was found last, and nothing before its first turn.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from headrace.base.clock import Clock
from headrace.server.partition import Partition
from headrace.server.partitions import Partitions
from headrace.storage.disk import DiskFault, NoDescriptor
from headrace.wire.batch import HEADER_BYTES, read_batch_header

_READS_MAX: Final = 64
"""Batches looked up in one scrape, about 2 ms where the page cache has them. Each lookup also
takes a place that the log keeps for its readers."""
_READING_MS_MAX: Final = 2
"""A device that is slow ends a scrape's reading earlier (the loop's slice, decision 2)."""

Committed = tuple[str, str, int, int]
"""Group, topic, partition, offset."""


class _Seen(NamedTuple):
    partition: Partition
    offset: int
    written_ms: int
    seconds: float


class LagSeconds:
    """Mutable: keeps what it found for as long as the group has an offset there."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock
        self._seen: dict[tuple[str, str, int], _Seen] = {}
        self._turn = 0
        """Where among the committed offsets the next scrape begins."""

    def of(self, committed: Sequence[Committed]) -> Iterator[tuple[Committed, float]]:
        """Seconds of lag of each that is known; one that is up to date has none."""
        seen, self._seen = self._seen, {}
        start = self._turn % len(committed) if committed else 0
        self._turn, reads, spent_ms = start, 0, 0
        for number in range(len(committed)):
            item = committed[(start + number) % len(committed)]
            group_id, topic, index, offset = item
            partition = self._partitions.get(topic, index)
            if partition is None:
                continue
            first = max(offset, partition.log.log_start_offset)
            if first >= partition.high_watermark:
                yield item, 0.0
                continue
            key = (group_id, topic, index)
            last = seen.get(key)
            if last is not None and last.partition is not partition:
                last = None
            if last is not None and last.offset == first:
                self._seen[key] = last
                yield item, self._age(last.written_ms)
                continue
            if reads < _READS_MAX and spent_ms < _READING_MS_MAX:
                reads, began_ms = reads + 1, self._clock.monotonic_ms()
                written_ms = _written_ms(partition, first)
                spent_ms += self._clock.monotonic_ms() - began_ms
                self._turn = start + number + 1
                if written_ms is None:
                    continue
                last = _Seen(partition, first, written_ms, self._age(written_ms))
            if last is not None:
                self._seen[key] = last
                yield item, last.seconds

    def _age(self, written_ms: int) -> float:
        return max(self._clock.wall_ms() - written_ms, 0) / 1000


def _written_ms(partition: Partition, offset: int) -> int | None:
    """The timestamp of the batch that holds `offset`, or None where it cannot be read."""
    try:
        part = partition.log.locate(offset, 1, max_offset=partition.high_watermark)
        header = part.file.pread(HEADER_BYTES, part.position)
    except (DiskFault, NoDescriptor):
        return None
    if len(header) < HEADER_BYTES:
        return None
    return read_batch_header(memoryview(header), 0).max_timestamp
