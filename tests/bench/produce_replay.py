"""Sends the same Produce frame over and over on raw sockets and checks every answer.

The frame is encoded once, so a round costs the driver a send, a receive and one struct a
request, and the broker is what is measured. A round counts only if every answer has error code 0
and the offsets of the partitions afterwards equal what was acknowledged.
"""

import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from tests.bench.frames import (
    CORRELATION_ID_POSITION,
    FIRST_PARTITION_FIELD,
    PARTITION_FIELDS,
    ProduceFrame,
)
from tests.bench.peer import LOOPBACK, Peer

DRAIN_S = 30.0
RECEIVE_BYTES = 1 << 16
ERROR_FIELD = FIRST_PARTITION_FIELD + 1


class WrongAnswer(Exception):
    """A broker answered something else than success; the round is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How the frame is sent.

    connections: sockets; depth: requests in flight on each
    warm_up_s:   sent and checked, not counted, and at least until as many requests as can be in
                 flight are answered twice: a partition's first append makes files and syncs them
    seconds:     the counted window
    max_bytes:   end early once so many bytes of batches are acknowledged, or None
    """

    connections: int = 1
    depth: int = 1
    warm_up_s: float = 0.5
    seconds: float = 3.0
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the counted window saw, and everything acknowledged in the whole round.

    driver_cores: how much of one core the driver used; near 1 the driver was the ceiling
    """

    seconds: float
    requests: int
    total_requests: int
    broker_cpu_s: float
    driver_cores: float


class _Connection:
    __slots__ = ("awaited", "data", "expected", "in_flight", "pending", "sent", "socket", "view")

    def __init__(self, port: int, frame: ProduceFrame) -> None:
        self.socket = socket.create_connection((LOOPBACK, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.data = bytearray(frame.data)
        self.view = memoryview(self.data)
        self.sent = 0
        self.in_flight = 0
        self.expected = 0
        self.awaited = 0
        self.pending = b""


class _Driver:
    def __init__(self, port: int, frame: ProduceFrame, load: Load) -> None:
        self.frame, self.load = frame, load
        self.done = 0
        self.sending = True
        self.poll = select.epoll()
        self.connections: dict[int, _Connection] = {}
        for _ in range(load.connections):
            one = _Connection(port, frame)
            self.connections[one.socket.fileno()] = one
            self.poll.register(one.socket.fileno(), select.EPOLLIN)

    def close(self) -> None:
        for one in self.connections.values():
            one.socket.close()
        self.poll.close()

    def send(self, one: _Connection) -> None:
        size = len(one.data)
        while True:
            if one.sent == 0:
                if not self.sending or one.in_flight >= self.load.depth:
                    return
                one.expected += 1
                struct.pack_into(">i", one.data, CORRELATION_ID_POSITION, one.expected)
                one.in_flight += 1
            try:
                one.sent += one.socket.send(one.view[one.sent :] if one.sent else one.view)
            except BlockingIOError:
                self.poll.modify(one.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
                return
            if one.sent == size:
                one.sent = 0

    def receive(self, one: _Connection) -> None:
        data = one.socket.recv(RECEIVE_BYTES)
        if not data:
            raise WrongAnswer("the broker closed a connection that waited for an answer")
        if one.pending:
            data = one.pending + data
        answer = self.frame.answer
        whole = len(data) // answer.size * answer.size
        # An answer counts only after its size, its id and its codes are right.
        for position, values in enumerate(answer.iter_unpack(data[:whole])):
            one.awaited += 1
            if values[0] != answer.size - 4:
                self._refuse_other_shape(data[position * answer.size :])
            if values[1] != one.awaited:
                raise WrongAnswer(f"answer {values[1]} where {one.awaited} was due")
            if any(values[ERROR_FIELD:-3:PARTITION_FIELDS]):
                raise WrongAnswer(f"error codes {set(values[ERROR_FIELD:-3:PARTITION_FIELDS])}")
            one.in_flight -= 1
            self.done += 1
        one.pending = data[whole:]
        if len(one.pending) >= self.frame.first_error_position + 2:
            (size,) = struct.unpack_from(">i", one.pending)
            if size != answer.size - 4:
                self._refuse_other_shape(one.pending)

    def _refuse_other_shape(self, answer: bytes) -> NoReturn:
        """An answer of a size that success never has: name its first error code."""
        (code,) = struct.unpack_from(">h", answer, self.frame.first_error_position)
        raise WrongAnswer(f"an answer of unexpected shape, error code {code}: {answer[:80].hex()}")

    def turn(self, timeout_s: float) -> None:
        for descriptor, event in self.poll.poll(timeout_s):
            one = self.connections[descriptor]
            if event & select.EPOLLOUT:
                self.poll.modify(descriptor, select.EPOLLIN)
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self.receive(one)
            self.send(one)

    def warm_up(self) -> None:
        begun = time.perf_counter()
        self.run_until(begun + self.load.warm_up_s)
        enough = 2 * self.load.connections * self.load.depth if self.load.warm_up_s else 0
        while self.done < enough:
            self.turn(0.05)
            if time.perf_counter() - begun > DRAIN_S:
                raise WrongAnswer(f"{self.done} answers in the first {DRAIN_S} s")

    def run_until(self, deadline: float) -> None:
        most = self.load.max_bytes
        while time.perf_counter() < deadline:
            self.turn(0.05)
            if most is not None and self.done * self.frame.batch_bytes >= most:
                return

    def drain(self) -> None:
        self.sending = False
        deadline = time.perf_counter() + DRAIN_S
        while any(one.in_flight for one in self.connections.values()):
            if time.perf_counter() > deadline:
                raise WrongAnswer(f"requests without an answer {DRAIN_S} s after the round")
            self.turn(0.1)


def replay(
    port: int,
    topic: str,
    frame: ProduceFrame,
    load: Load,
    broker_cpu_s: Callable[[], float] = time.process_time,
) -> Replayed:
    """One round against an empty `topic`. Raises WrongAnswer if anything was not a success.

    broker_cpu_s: reads the broker's CPU seconds so far
    """
    driver = _Driver(port, frame, load)
    try:
        for one in driver.connections.values():
            driver.send(one)
        driver.warm_up()
        before, cpu_before = driver.done, broker_cpu_s()
        started, driver_before = time.perf_counter(), time.process_time()
        driver.run_until(started + load.seconds)
        seconds = time.perf_counter() - started
        driver_s = time.process_time() - driver_before
        requests, cpu_s = driver.done - before, broker_cpu_s() - cpu_before
        driver.drain()
    finally:
        driver.close()
    if not requests:
        raise WrongAnswer(f"no answer within the {load.seconds} s that count")
    check_offsets(port, topic, frame, driver.done)
    return Replayed(
        seconds=seconds,
        requests=requests,
        total_requests=driver.done,
        broker_cpu_s=cpu_s,
        driver_cores=driver_s / seconds,
    )


def check_offsets(port: int, topic: str, frame: ProduceFrame, requests: int) -> None:
    """Every partition must hold exactly the acknowledged records, or WrongAnswer."""
    with Peer(port) as peer:
        ends = set(peer.offsets(topic, frame.partitions))
    acknowledged = requests * frame.batch.records
    if ends != {acknowledged}:
        raise WrongAnswer(f"log ends {sorted(ends)[:5]} where {acknowledged} was acknowledged")
