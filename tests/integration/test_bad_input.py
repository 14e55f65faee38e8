"""What no client sends: the broker closes that connection, says so once, and serves the others."""

import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from e2e.kafka.headrace import Headrace

METADATA = struct.pack(">hhih", 3, 1, 7, 1) + b"x" + struct.pack(">i", -1)
MAX_GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    """A broker for hostile peers alone, so that its memory and its log are theirs."""
    with Headrace(tmp_path_factory.mktemp("victim") / "data") as running:
        alive(running)
        yield running


def connect(broker: Headrace) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", broker.kafka_port), timeout=10)
    one.settimeout(10)
    return one


def alive(broker: Headrace) -> None:
    """The broker answers a new client."""
    with connect(broker) as one:
        one.sendall(struct.pack(">i", len(METADATA)) + METADATA)
        (size,) = struct.unpack(">i", one.recv(4, socket.MSG_WAITALL))
        answer = one.recv(size, socket.MSG_WAITALL)
    assert answer[:4] == struct.pack(">i", 7)


def closed(one: socket.socket) -> bool:
    """Whether the broker hung up (what it says before does not matter)."""
    try:
        while one.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return True


def lines(broker: Headrace) -> int:
    return len(broker.output().splitlines())


FRAMES = {
    "a negative length": struct.pack(">i", -1),
    "a huge length": struct.pack(">i", 2**31 - 1) + b"x" * 100,
    "more than a control request may have": struct.pack(">i", 50 << 20) + METADATA,
    "no bytes at all in a frame": struct.pack(">i", 0),
    "a header cut short": struct.pack(">i", 3) + b"\x00\x03\x00",
    "a request with a lying client id": struct.pack(">ihhih", 10, 3, 1, 1, 30000),
    "an unknown key": struct.pack(">ihhih", 10, 999, 0, 1, 0),
    "an unknown version": struct.pack(">ihhih", 10, 3, 99, 1, 0),
    "a huge array": struct.pack(">ihhihi", 14, 3, 1, 1, 0, 2**31 - 1),
    "a body cut short": struct.pack(">ihhihi", 14, 3, 1, 1, 0, 3),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000100030301") + b"\x00" * 500,
}


@pytest.mark.parametrize("what", FRAMES)
def test_a_broken_frame_closes_its_connection_with_one_line(victim: Headrace, what: str) -> None:
    before = lines(victim)
    with connect(victim) as one:
        one.sendall(FRAMES[what])
        assert closed(one)
    alive(victim)
    assert lines(victim) - before == 1, victim.output().splitlines()[before:]


def test_random_bytes(victim: Headrace) -> None:
    dice = random.Random(4711)
    before, rss = lines(victim), victim.usage().rss_bytes
    hostile = 200
    for number in range(hostile):
        data = dice.randbytes(dice.randint(1, 2000))
        if number % 2:
            data = struct.pack(">ihh", len(data) + 4, dice.choice((0, 1, 3, 11, 18)), 3) + data
        with connect(victim) as one:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            assert closed(one)
    alive(victim)
    assert lines(victim) - before <= hostile
    assert victim.usage().rss_bytes - rss < MAX_GROWTH_BYTES


def test_half_open_connections_hold_no_memory(victim: Headrace) -> None:
    rss = victim.usage().rss_bytes
    held = []
    for _ in range(300):
        one = connect(victim)
        one.sendall(struct.pack(">i", 1 << 20) + b"\x00\x00")  # and never the rest
        held.append(one)
    alive(victim)
    assert victim.usage().rss_bytes - rss < MAX_GROWTH_BYTES
    for one in held:
        one.close()
    alive(victim)


def test_a_reader_that_does_not_read(victim: Headrace, name: str) -> None:
    producer = Producer({"bootstrap.servers": victim.bootstrap})
    for _ in range(40):
        producer.produce(name, b"v" * 900_000, partition=0)
        producer.flush(30)
    rss = victim.usage().rss_bytes
    topic = name.encode()
    body = struct.pack(">iiiibi", -1, 0, 1, 50 << 20, 0, 1) + struct.pack(">h", len(topic)) + topic
    body += struct.pack(">iiqi", 1, 0, 0, 50 << 20)
    frame = struct.pack(">hhih", 1, 4, 1, 1) + b"x" + body
    with connect(victim) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        sent = 0
        try:
            for _ in range(1000):
                one.sendall(struct.pack(">i", len(frame)) + frame)
                sent += 1
        except BlockingIOError:
            pass
        assert sent > 3
        limit = time.monotonic() + 2
        while time.monotonic() < limit:
            alive(victim)
            assert victim.usage().rss_bytes - rss < 3 * MAX_GROWTH_BYTES
    alive(victim)


def test_the_data_is_still_there(victim: Headrace, name: str, tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": victim.bootstrap})
    delivered = []
    producer.produce(name, b"v", on_delivery=lambda e, m: delivered.append(e))
    assert producer.flush(20) == 0
    assert delivered == [None]
