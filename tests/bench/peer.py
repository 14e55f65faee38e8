"""A small blocking client for what a benchmark needs besides load: topics and offsets."""

import socket
import struct
import time
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
TIMEOUT_S = 60.0
CREATE_TOPICS, DELETE_TOPICS, LIST_OFFSETS, METADATA = 19, 20, 2, 3
EARLIEST, LATEST = -2, -1
UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER = 3, 5, 6
SETTLE_S = 30.0
PARTITIONS_A_REQUEST = 500


class Refused(Exception):
    """A broker answered with an error code, or not at all."""


class Peer:
    """One connection to a broker; every call raises Refused on an error code."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")
        self._correlation_id = 0

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._stream.close()
        self._socket.close()

    def call(self, api_key: int, version: int, body: bytes) -> memoryview:
        """Sends a request of a version before flexible ones; returns the answer's body."""
        self._correlation_id += 1
        header = struct.pack(">hhih", api_key, version, self._correlation_id, -1)
        self._socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        front = self._stream.read(8)
        if len(front) < 8:
            raise Refused(f"the broker closed the connection on API key {api_key} v{version}")
        size, correlation_id = struct.unpack(">ii", front)
        if correlation_id != self._correlation_id:
            raise Refused(f"answer {correlation_id} where {self._correlation_id} was due")
        return memoryview(self._stream.read(size - 4))

    def create_topic(
        self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None
    ) -> None:
        """Creates a topic and waits until each partition has a leader that answers."""
        settings = [_string(k) + _string(v) for k, v in (configs or {}).items()]
        topic = _string(name) + struct.pack(">ihi", partitions, 1, 0)
        topic += struct.pack(">i", len(settings)) + b"".join(settings)
        request = struct.pack(">i", 1) + topic + struct.pack(">i?", int(TIMEOUT_S * 1000), False)
        answer = self.call(CREATE_TOPICS, 4, request)
        _name, position = _read_string(answer, 8)
        (code,) = struct.unpack_from(">h", answer, position)
        if code:
            message, _ = _read_string(answer, position + 2)
            raise Refused(f"topic {name} was not created: error code {code}, {message}")
        self._settle(name, partitions)

    def delete_topic(self, name: str) -> None:
        """Deletes a topic; the broker removes its folders later."""
        request = struct.pack(">i", 1) + _string(name) + struct.pack(">i", int(TIMEOUT_S * 1000))
        answer = self.call(DELETE_TOPICS, 3, request)
        _name, position = _read_string(answer, 8)
        (code,) = struct.unpack_from(">h", answer, position)
        if code:
            raise Refused(f"topic {name} was not deleted: error code {code}")

    def offsets(self, topic: str, partitions: int = 1, timestamp: int = LATEST) -> list[int]:
        """The latest (or with EARLIEST the first) offset of the partitions 0 .. partitions - 1."""
        found: list[int] = []
        for first in range(0, partitions, PARTITIONS_A_REQUEST):
            found += self._offsets(
                topic, range(first, min(first + PARTITIONS_A_REQUEST, partitions)), timestamp
            )
        return found

    def all_topics(self) -> int:
        """Asks Metadata for every topic; returns the size of the answer in bytes."""
        return len(self.call(METADATA, 5, struct.pack(">i?", -1, False)))

    def _offsets(self, topic: str, indexes: range, timestamp: int) -> list[int]:
        wanted = b"".join(struct.pack(">iq", index, timestamp) for index in indexes)
        head = struct.pack(">ii", -1, 1) + _string(topic) + struct.pack(">i", len(indexes))
        answer = self.call(LIST_OFFSETS, 1, head + wanted)
        _name, position = _read_string(answer, 4)
        offsets = dict.fromkeys(indexes, -1)
        body = answer[position + 4 :]
        for index, code, _timestamp, offset in struct.iter_unpack(">ihqq", body):
            if code:
                raise _PartitionError(topic, index, code)
            offsets[index] = offset
        return list(offsets.values())

    def _settle(self, topic: str, partitions: int) -> None:
        deadline = time.monotonic() + SETTLE_S
        while True:
            try:
                self.offsets(topic, partitions)
                return
            except _PartitionError as early:
                if early.code not in (UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER):
                    raise
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


class _PartitionError(Refused):
    def __init__(self, topic: str, index: int, code: int) -> None:
        super().__init__(f"ListOffsets of {topic}-{index}: error code {code}")
        self.code = code


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def _read_string(answer: memoryview, position: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">h", answer, position)
    end = position + 2 + max(size, 0)
    return bytes(answer[position + 2 : end]).decode(), end
