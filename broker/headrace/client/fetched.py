"""What one fetch brought of one partition: whole batches, decoded when the caller asks."""

from collections.abc import Iterator
from dataclasses import dataclass

from crc32c import crc32c

from headrace.client.decode import decode_values
from headrace.wire.batch import (
    CONTROL,
    CRC_FROM,
    HEADER_BYTES,
    LENGTH_PREFIX_BYTES,
    BatchHeader,
    read_batch_header,
)
from headrace.wire.records import CorruptRecords, Record, unpack, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Whole batches. The first may begin before `offset`: what is before is left out below."""

    topic: str
    partition: int
    offset: int
    next_offset: int
    high_watermark: int
    data: memoryview

    def records(self) -> Iterator[Record]:
        """The records from `offset` on, without transaction markers. Raises CorruptRecords."""
        for _, batch in self._batches():
            for record in walk(batch):
                if record.offset >= self.offset:
                    yield record

    def batches(self) -> Iterator["FetchedBatch"]:
        """The batches from `offset` on, without transaction markers. Raises CorruptRecords."""
        for header, batch in self._batches():
            yield FetchedBatch(header=header, data=batch, whole=header.base_offset >= self.offset)

    def _batches(self) -> Iterator[tuple[BatchHeader, memoryview]]:
        position = 0
        while position + HEADER_BYTES <= len(self.data):
            header = read_batch_header(self.data, position)
            end = position + header.size_bytes
            if end > len(self.data):
                return  # a broker may cut the last batch at the byte limit
            batch = self.data[position:end]
            position = end
            if header.attributes & CONTROL or header.last_offset < self.offset:
                continue
            if crc32c(batch[CRC_FROM:]) != header.crc:
                raise CorruptRecords(
                    f"The batch at offset {header.base_offset} of {self.topic}-{self.partition}"
                    " does not match its checksum: it was damaged on disk or on the way"
                )
            yield header, batch


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedBatch:
    """One batch. `whole` is false where it begins before the offset that was asked for."""

    header: BatchHeader
    data: memoryview
    whole: bool

    def payload(self) -> bytes:
        """The unpacked records. Raises CorruptRecords."""
        return unpack(self.data)[1]

    def records(self) -> Iterator[Record]:
        """All its records, also those before the offset. Raises CorruptRecords."""
        return walk(self.data)

    def values(self, payload: bytes) -> list[bytes | None]:
        """The values of all its records; `payload` is what `payload()` gave."""
        return decode_values(payload, self.header.record_count)


def next_offset(data: memoryview, offset: int) -> int:
    """The offset after the last whole batch in `data`; `offset` where there is none."""
    position = 0
    while position + HEADER_BYTES <= len(data):
        header = read_batch_header(data, position)
        position += header.length + LENGTH_PREFIX_BYTES
        if position > len(data):
            break
        offset = max(offset, header.next_offset)
    return offset
