"""Frames in whatever pieces they come, answers in request order, everything bounded."""

import asyncio
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from headrace.server.connection import SCRATCH_BYTES, Answer, Connection, Outcome
from headrace.wire.framing import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st


class Transport:
    """What a connection calls of an asyncio transport, with a real socket below it."""

    def __init__(self) -> None:
        self._ours, self._peers = socket.socketpair()
        self._peers.setblocking(False)
        self._sent = bytearray()
        self.reading = True
        self.closed = False

    @property
    def sent(self) -> bytearray:
        """All that arrived at the peer so far."""
        while True:
            try:
                data = self._peers.recv(1 << 20)
            except BlockingIOError:
                return self._sent
            if not data:
                return self._sent
            self._sent += data

    def get_extra_info(self, name: str) -> Any:
        return self._ours if name == "socket" else ("127.0.0.1", 1)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def end(self) -> None:
        self._ours.close()
        self._peers.close()


class Host:
    """Answers each frame with its own bytes; a frame that starts with W waits, with P waits
    without holding up what follows."""

    name = "TEST"
    small_frame_bytes = 100
    descriptors = sys.maxsize
    requests_max = 4
    queued_bytes_max = 1000

    def __init__(self) -> None:
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self.executed: list[bytes] = []
        self.waiting: list[tuple[Answer, bytes]] = []
        self.reason: str | None = None

    def frame_bytes_max(self, api_key: int) -> int:
        return 3 * SCRATCH_BYTES

    def execute(self, connection: Connection, frame: memoryview) -> Outcome:
        data = bytes(frame)
        self.executed.append(data)
        kind = data[8:9]
        if kind in (b"W", b"P"):
            answer = Answer(connection, holds=kind == b"W")
            self.waiting.append((answer, data))
            return answer
        if kind == b"E":
            raise ProtocolError("nonsense")
        return data

    def opened(self, connection: Connection) -> bool:
        return True

    def closed(self, connection: Connection, reason: str | None) -> None:
        self.reason = reason


class Peer:
    """Both sides of one connection under test."""

    def __init__(self) -> None:
        self.host = Host()
        self.transport = Transport()
        self.loop = asyncio.new_event_loop()
        self.connection = Connection(self.host, self.loop)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def end(self) -> None:
        self.connection.connection_lost(None)
        self.transport.end()
        self.loop.close()

    def read_all(self) -> bytes:
        """The peer reads until it has all it is owed."""
        while self.connection._outgoing.waits:
            assert self.transport.sent
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        return bytes(self.transport.sent)

    def send(self, data: bytes) -> None:
        """Deliver bytes as the loop does: into the buffer that is asked for, piece by piece."""
        while data and not self.transport.closed:
            buffer = self.connection.get_buffer(-1)
            taken = min(len(buffer), len(data))
            buffer[:taken] = data[:taken]
            del buffer
            data = data[taken:]
            self.connection.buffer_updated(taken)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.end()


def frame(body: bytes) -> bytes:
    return struct.pack(">i", 8 + len(body)) + bytes(8) + body


def body_of(body: bytes) -> bytes:
    return bytes(8) + body


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(
        st.one_of(st.integers(0, 50), st.integers(SCRATCH_BYTES // 5, 2 * SCRATCH_BYTES)),
        max_size=6,
    ),
    cuts=st.lists(st.integers(1, 100_000), max_size=10),
)
def test_frames_arrive_whole_however_they_are_cut(sizes: list[int], cuts: list[int]) -> None:
    peer = Peer()
    bodies = [bytes([65 + i]) * size for i, size in enumerate(sizes)]
    stream = b"".join(frame(b"-" + body) for body in bodies)
    for cut in cuts:
        peer.send(stream[:cut])
        stream = stream[cut:]
    peer.send(stream)
    wanted = [body_of(b"-" + body) for body in bodies]
    answered = peer.read_all()
    peer.end()
    assert peer.host.executed == wanted
    assert answered == b"".join(wanted)


def test_what_waits_holds_up_what_follows(peer: Peer) -> None:
    peer.send(frame(b"W1") + frame(b"-2"))
    assert peer.host.executed == [body_of(b"W1")]
    answer, data = peer.host.waiting[0]
    answer.resolve(data)
    assert bytes(peer.transport.sent) == body_of(b"W1") + body_of(b"-2")


def test_a_pipelined_answer_waits_its_turn_but_later_requests_run(peer: Peer) -> None:
    peer.send(frame(b"P1") + frame(b"P2") + frame(b"-3"))
    assert len(peer.host.executed) == 3
    assert not peer.transport.sent
    (first, _), (second, _) = peer.host.waiting
    second.resolve(b"two")
    assert not peer.transport.sent
    first.resolve(b"one")
    assert bytes(peer.transport.sent) == b"onetwo" + body_of(b"-3")


def test_reading_stops_while_requests_pile_up(peer: Peer) -> None:
    peer.send(b"".join(frame(b"W") for _ in range(5)))
    assert not peer.transport.reading
    while peer.host.waiting:
        answer, data = peer.host.waiting.pop(0)
        answer.resolve(data)
    assert peer.transport.reading


def test_a_peer_that_does_not_read_is_not_worked_for(peer: Peer) -> None:
    body = b"-" + bytes(3 * SCRATCH_BYTES - 100)
    requests = 0
    while not peer.connection._outgoing.waits:
        peer.send(frame(body))
        requests += 1
    peer.send(frame(b"-last"))
    assert len(peer.host.executed) == requests
    assert not peer.transport.reading
    assert peer.read_all() == requests * body_of(body) + body_of(b"-last")
    assert peer.host.executed[-1] == body_of(b"-last")
    assert peer.transport.reading


def test_closing_waits_until_the_peer_has_read_its_answers(peer: Peer) -> None:
    body = b"-" + bytes(3 * SCRATCH_BYTES - 100)
    requests = 0
    while not peer.connection._outgoing.waits:
        peer.send(frame(body))
        requests += 1
    assert peer.connection.eof_received()
    assert not peer.transport.closed
    assert peer.read_all() == requests * body_of(body)
    assert peer.transport.closed


@pytest.mark.parametrize("size", [-1, 0, 7, 3 * SCRATCH_BYTES + 1, 2**31 - 1])
def test_a_size_out_of_bounds_closes_before_the_body_is_read(peer: Peer, size: int) -> None:
    peer.send(struct.pack(">i", size) + bytes(8))
    assert peer.transport.closed
    peer.connection.connection_lost(None)
    assert peer.host.reason is not None
    assert str(size) in peer.host.reason


def test_a_peers_fault_closes_after_earlier_answers(peer: Peer) -> None:
    peer.send(frame(b"-1") + frame(b"E"))
    assert bytes(peer.transport.sent) == body_of(b"-1")
    assert peer.transport.closed


def test_a_size_that_lies_costs_its_sender_the_bytes(peer: Peer) -> None:
    peer.host.frame_bytes_max = lambda api_key: 2**31 - 1  # type: ignore[method-assign]
    peer.send(struct.pack(">i", 2**31 - 1) + bytes(1000))
    held = peer.connection._frame
    assert held is not None
    assert len(held) <= 1 << 20


def test_an_answer_for_a_peer_that_left_goes_nowhere(peer: Peer) -> None:
    peer.send(frame(b"W1"))
    peer.connection.connection_lost(None)
    answer, data = peer.host.waiting[0]
    answer.resolve(data)
    assert not peer.transport.sent


def test_after_stop_reading_what_was_executed_is_still_answered(peer: Peer) -> None:
    peer.send(frame(b"P1"))
    assert peer.connection.owes_answers
    peer.connection.stop_reading()
    assert not peer.transport.reading
    answer, data = peer.host.waiting[0]
    answer.resolve(data)
    assert bytes(peer.transport.sent) == body_of(b"P1")
    assert not peer.connection.owes_answers
    assert not peer.transport.reading


def test_a_muted_connection_reads_and_executes_nothing_until_it_may(peer: Peer) -> None:
    peer.connection.mute()
    assert not peer.transport.reading
    peer.send(frame(b"a") + frame(b"b"))
    assert peer.host.executed == []
    peer.connection.unmute()
    assert peer.host.executed == [body_of(b"a"), body_of(b"b")]
    assert peer.transport.reading


def test_what_waits_while_muted_is_answered_and_nothing_more_is_executed(peer: Peer) -> None:
    peer.send(frame(b"P"))
    peer.connection.mute()
    peer.send(frame(b"a"))
    peer.host.waiting[0][0].resolve(b"answer")
    assert peer.transport.sent.endswith(b"answer")
    assert len(peer.host.executed) == 1
    assert not peer.transport.reading
