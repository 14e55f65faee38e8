"""Raw connections to a broker, for tests of what no client sends."""

import contextlib
import socket
import struct
from typing import Any

from headrace.base.errors import Code
from headrace.wire import messages
from headrace.wire.versions import PRODUCE

from e2e.kafka.headrace import Headrace
from e2e.kafka.process import LOOPBACK
from tests.integration.clients import DEADLINE_S

PRODUCE_VERSION = 9


class Peer:
    """A raw connection; every wait has a deadline."""

    def __init__(self, broker: Headrace, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect((LOOPBACK, broker.kafka_port))

    def send(self, data: bytes) -> None:
        """Send; a broker that closes in the midst of it is no failure of the sender."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def finish(self) -> None:
        """Send no more; answers can still be read."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def answer(self) -> bytes | None:
        """One frame without its size, or None where the connection was closed."""
        size = self._read(4)
        return self._read(struct.unpack(">i", size)[0]) if len(size) == 4 else None

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionError:
                more = b""
            if not more:
                break
            data += more
        return bytes(data)

    def produced(self, topic: str, batch: bytes) -> Code:
        """Produce one batch to partition 0; the answer's code."""
        self.send(produce_request(topic, batch))
        frame = self.answer()
        assert frame is not None, "an answer, not a closed connection"
        response = messages.read_response(PRODUCE, PRODUCE_VERSION, frame)
        return Code(response.responses[0].partition_responses[0].error_code)

    def close(self) -> None:
        self.socket.close()


def framed(data: bytes) -> bytes:
    """The bytes with their size before them."""
    return struct.pack(">i", len(data)) + data


def header(key: int, version: int, correlation_id: int = 1) -> bytes:
    """A legacy request header without a client id."""
    return struct.pack(">hhih", key, version, correlation_id, -1)


def request(key: int, version: int, **fields: Any) -> bytes:
    """A whole request, its size included."""
    return messages.write_request(key, version, 7, "hostile", fields)


def produce_request(topic: str, batch: bytes) -> bytes:
    """A batch for partition 0 of a topic, as any client of today sends it."""
    partition = {"index": 0, "records": bytes(batch)}
    return request(
        PRODUCE,
        PRODUCE_VERSION,
        transactional_id=None,
        acks=-1,
        timeout_ms=5000,
        topic_data=[{"name": topic, "partition_data": [partition]}],
    )
