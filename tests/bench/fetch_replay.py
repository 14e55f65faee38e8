"""Reads a partition with raw Fetch requests, one after another, and checks every answer."""

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.frames import fetch_frame
from tests.bench.peer import LOOPBACK
from tests.bench.produce_replay import WrongAnswer

BUFFER_BYTES = 8 << 20
BATCH_FRONT = struct.Struct(">qi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a round read. Bytes are those of whole record batches; half of one at the end of an
    answer, which Kafka sends, is of no use to a reader and does not count."""

    seconds: float
    requests: int
    batch_bytes: int
    broker_cpu_s: float


class FetchReader:
    """A reader of partition 0 that knows where it is."""

    def __init__(self, port: int, topic: str, max_bytes: int, timeout_s: float = 30.0) -> None:
        self.topic, self.max_bytes, self.offset = topic, max_bytes, 0
        self._socket = socket.create_connection((LOOPBACK, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._correlation_id = 0

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def fetch(self) -> int:
        """One Fetch from where the reader is; returns the bytes of whole batches it brought.

        Raises WrongAnswer on an error code or if the batches do not follow one another.
        """
        self._correlation_id += 1
        request = fetch_frame(self.topic, self.offset, self.max_bytes, self._correlation_id)
        self._socket.sendall(request)
        self._fill(0, 4)
        (size,) = struct.unpack_from(">i", self._buffer)
        if size > BUFFER_BYTES:
            raise WrongAnswer(f"an answer of {size} bytes to a Fetch of {self.max_bytes}")
        self._fill(0, size)
        return self._walk(*self._records(size))

    def _fill(self, position: int, end: int) -> None:
        while position < end:
            count = self._socket.recv_into(self._view[position:end])
            if not count:
                raise WrongAnswer("the broker closed the connection in the middle of a Fetch")
            position += count

    def _records(self, size: int) -> tuple[int, int]:
        """Where the record bytes of the one partition begin and end."""
        buffer = self._buffer
        correlation_id, _, _, code, _ = struct.unpack_from(">iBihi", buffer)
        if correlation_id != self._correlation_id or code:
            raise WrongAnswer(f"Fetch answer {correlation_id} with error code {code}")
        position = 15 + 1 + 1 + len(self.topic.encode()) + 1
        _index, code, *_offsets = struct.unpack_from(">ihqqq", buffer, position)
        if code:
            raise WrongAnswer(f"Fetch of {self.topic} at {self.offset}: error code {code}")
        aborted = buffer[position + 30]
        if aborted > 1:
            raise WrongAnswer("aborted transactions in a topic that has none")
        count, start = _unsigned_varint(buffer, position + 30 + 1 + 4)
        return start, min(start + max(count - 1, 0), size)

    def _walk(self, position: int, end: int) -> int:
        buffer, first, next_offset = self._buffer, position, self.offset
        while position + 61 <= end:
            base_offset, length = BATCH_FRONT.unpack_from(buffer, position)
            if position + 12 + length > end:
                break
            (last_delta,) = struct.unpack_from(">i", buffer, position + 23)
            if not base_offset <= next_offset <= base_offset + last_delta:
                raise WrongAnswer(f"batch at {base_offset} where {next_offset} was due")
            next_offset = base_offset + last_delta + 1
            position += 12 + length
        self.offset = next_offset
        return position - first


def _unsigned_varint(buffer: bytearray, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def read_round(
    port: int,
    topic: str,
    *,
    end_offset: int,
    max_bytes: int,
    total_bytes: int,
    broker_cpu_s: Callable[[], float] = time.process_time,
) -> Fetched:
    """Reads `total_bytes` from the beginning, over again each time `end_offset` is reached."""
    reader = FetchReader(port, topic, max_bytes)
    try:
        reader.fetch()
        reader.offset = 0
        cpu_before, started = broker_cpu_s(), time.perf_counter()
        read = requests = 0
        while read < total_bytes:
            brought = reader.fetch()
            if not brought:
                raise WrongAnswer(f"nothing at {reader.offset}, before the end at {end_offset}")
            read += brought
            requests += 1
            if reader.offset >= end_offset:
                reader.offset = 0
        seconds = time.perf_counter() - started
        return Fetched(
            seconds=seconds,
            requests=requests,
            batch_bytes=read,
            broker_cpu_s=broker_cpu_s() - cpu_before,
        )
    finally:
        reader.close()
