"""Against ourselves: ready again after kill -9, and what partitions and connections weigh."""

import contextlib
import socket
import struct
import time

from tests.bench.arena import Arena, Side, Void, wait_for
from tests.bench.cases.fetch import fill
from tests.bench.contest import Row
from tests.bench.frames import ProduceFrame, make_batch, produce_frame
from tests.bench.peer import LOOPBACK, Peer
from tests.bench.produce_replay import Load, replay
from tests.bench.rounds import Target, at_most, spread

KILLS = 3
LARGE_BYTES = 10 * 10**9
MORE_BYTES = 200 * 10**6
TOPICS, PARTITIONS_A_TOPIC = 20, 100
CONNECTIONS = 1000
READY_MAX_S = 120.0
SETTLED_S = 1.0
METADATA_OF_NOTHING = struct.pack(">ihhihi?", 15, 3, 5, 1, -1, 0, False)


def recovery_10g(arena: Arena) -> list[Row]:
    """10 GB in one partition after kill -9: ready within 3 s."""
    arena.stop_sides()
    side = arena.ours()
    batch = make_batch(1024, 256 << 10)
    frame = produce_frame("large", batch)
    try:
        end = fill(side, "large", batch, LARGE_BYTES)
        seconds = []
        for _ in range(KILLS):
            end = _append(side, frame, MORE_BYTES, end)
            seconds.append(_restart(side, {"large": [end]}))
    finally:
        side.broker.kill()
    title = f"10 GB in one partition: from start after kill -9 until it serves, worst of {KILLS}"
    return [_worst(title, seconds, at_most(3.0))]


def partitions_2000(arena: Arena) -> list[Row]:
    """2,000 partitions: memory of each and of 1,000 connections, ready after kill -9 in 10 s."""
    arena.stop_sides()
    side = arena.ours()
    try:
        empty = _settled_rss(side)
        for topic in _topics():
            side.create(topic, PARTITIONS_A_TOPIC)
        created = _settled_rss(side)
        ends = {topic: _first_batches(side, topic) for topic in _topics()}
        written = _settled_rss(side)
        connections = _idle_connections(side)
        seconds = [_restart(side, ends) for _ in range(KILLS)]
    finally:
        side.broker.kill()
    count = TOPICS * PARTITIONS_A_TOPIC
    title = f"2,000 partitions: from start after kill -9 until all serve, worst of {KILLS}"
    return [
        _worst(title, seconds, at_most(10.0)),
        _kilobytes("memory a partition, created, at 2,000", (created - empty) / count),
        _kilobytes("memory a partition, written to once, at 2,000", (written - empty) / count),
        _kilobytes("memory an idle connection, at 1,000", connections),
    ]


def _topics() -> list[str]:
    return [f"small{number:02d}" for number in range(TOPICS)]


def _first_batches(side: Side, topic: str) -> list[int]:
    frame = produce_frame(topic, make_batch(100, 1024), PARTITIONS_A_TOPIC)
    replay(side.port, topic, frame, Load(warm_up_s=0, seconds=60, max_bytes=1))
    with Peer(side.port) as peer:
        return peer.offsets(topic, PARTITIONS_A_TOPIC)


def _append(side: Side, frame: ProduceFrame, size_bytes: int, end: int) -> int:
    """More batches, each acknowledged before the next; returns the new end."""
    with socket.create_connection((LOOPBACK, side.port), timeout=30) as peer:
        stream = peer.makefile("rb")
        for _ in range(size_bytes // frame.batch_bytes):
            peer.sendall(frame.data)
            *_, code, base_offset = frame.answer.unpack(stream.read(frame.answer.size))[:10]
            if code or base_offset != end:
                raise Void(f"appended at {base_offset} with error code {code}, not at {end}")
            end += frame.records
    return end


def _restart(side: Side, ends: dict[str, list[int]]) -> float:
    """kill -9, start; seconds until every partition ends exactly where it was acknowledged."""
    side.broker.kill()
    started = time.perf_counter()
    side.broker.start(READY_MAX_S)

    def served() -> bool:
        with Peer(side.port) as peer:
            return all(peer.offsets(topic, len(end)) == end for topic, end in ends.items())

    wait_for("every partition ends where it was acknowledged", served, READY_MAX_S)
    return time.perf_counter() - started


def _settled_rss(side: Side) -> int:
    time.sleep(SETTLED_S)
    return side.broker.usage().rss_bytes


def _idle_connections(side: Side) -> float:
    """Bytes of broker memory a connection that has asked one question and now is silent."""
    before = _settled_rss(side)
    with contextlib.ExitStack() as held:
        for _ in range(CONNECTIONS):
            peer = held.enter_context(socket.create_connection((LOOPBACK, side.port), timeout=10))
            peer.sendall(METADATA_OF_NOTHING)
            if len(peer.recv(4096)) < 8:
                raise Void("a connection got no answer to Metadata")
        return (_settled_rss(side) - before) / CONNECTIONS


def _worst(title: str, seconds: list[float], target: Target) -> Row:
    return Row(title=title, unit="s", ours=spread(seconds), target=target, judged=max(seconds))


def _kilobytes(title: str, size_bytes: float) -> Row:
    return Row(title=title, unit="kB", ours=spread([size_bytes / 1e3]))
