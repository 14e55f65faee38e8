"""Hostile and broken peers: an error or a closed connection, bounded memory, service goes on."""

import contextlib
import os
import random
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from headrace.base.errors import Code
from headrace.wire import messages
from headrace.wire.records import UNPACKED_BYTES_MAX
from headrace.wire.schema import REQUEST, message_class
from headrace.wire.versions import API_VERSIONS, APIS, FETCH, METADATA, PRODUCE

from e2e.kafka.headrace import Headrace, executable
from tests.integration.clients import DEADLINE_S, create_topic, pairs, produce, read_to_end, until
from tests.integration.conftest import MakeBroker
from tests.integration.hostile import BATCHES, bomb, good_batch, spoiled_records
from tests.integration.peers import Peer, framed, header, produce_request, request
from tests.wire.samples import mapping

MIB = 1024 * 1024
GROWTH_BYTES_MAX = 128 * MIB
"""What any of these peers may cost in resident memory at its highest: a frame of 2 MiB may be
decoded into some twenty times its bytes."""
EVIL = (b"\xff\xff\xff\xff\x0f", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff" * 9, b"\x00")
VERSIONS_REQUEST = request(API_VERSIONS, 3, client_software_name="x", client_software_version="1")

Connect = Callable[..., Peer]


@pytest.fixture
def connect(broker: Headrace) -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:

        def one(**options: int) -> Peer:
            peer = Peer(broker, **options)
            stack.callback(peer.close)
            return peer

        yield one


@pytest.fixture(scope="module")
def canary(shared_broker: Headrace) -> Iterator[list[str]]:
    """A topic that gets a batch after each test; at the end all of it is there."""
    create_topic(shared_broker, "canary")
    sung: list[str] = []
    yield sung
    assert len(read_to_end(shared_broker, "canary")) == 3 * len(sung) > 0


@pytest.fixture(autouse=True)
def _alive_and_small(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test of the shared broker: the same process, memory within bounds, it serves."""
    if "broker" not in request.fixturenames:
        yield
        return
    broker: Headrace = request.getfixturevalue("broker")
    canary: list[str] = request.getfixturevalue("canary")
    before = resident_bytes(broker, "VmRSS")
    reset_peak(broker)
    yield
    assert broker.process is not None
    assert broker.process.poll() is None, broker.output()[-2000:]
    bound = UNPACKED_BYTES_MAX if "bomb" in request.node.name else 0
    assert resident_bytes(broker, "VmHWM") - before < GROWTH_BYTES_MAX + bound
    peer = Peer(broker)
    assert peer.produced("canary", good_batch()) == Code.NONE
    canary.append(request.node.name)
    peer.close()


def resident_bytes(broker: Headrace, which: str) -> int:
    """Memory of the broker's process: VmRSS now, VmHWM at its highest since the reset."""
    status = Path(f"/proc/{broker.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{which}:")]
    return int(line.split()[1]) * 1024


def reset_peak(broker: Headrace) -> None:
    Path(f"/proc/{broker.pid}/clear_refs").write_text("5")  # proc(5)


@contextlib.contextmanager
def one_line(broker: Headrace, *parts: str) -> Iterator[None]:
    """The peer is told of in exactly one line, with these words in it."""
    before = len(broker.output())
    yield

    def lines() -> list[str]:
        said = broker.output()[before:].splitlines()
        return [line for line in said if "connection closed" in line]

    (line,) = until(lines, "a line about the connection")
    assert all(part in line for part in parts), line


def metadata_request(version: int, topics: list[dict[str, Any]]) -> bytes:
    return request(
        METADATA,
        version,
        topics=topics,
        allow_auto_topic_creation=False,
        include_topic_authorized_operations=False,
        include_cluster_authorized_operations=False,
    )


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(connect: Connect, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        peer = connect()
        peer.send(rng.randbytes(rng.randrange(1, 400)))
        peer.finish()
        while peer.answer() is not None:
            pass
        peer.close()


@pytest.mark.parametrize("seed", range(4))
def test_valid_requests_with_evil_bytes(connect: Connect, seed: int) -> None:
    """Lengths and counts that lie, in every API: an answer or a closed connection."""
    rng = random.Random(seed)
    answered = {True: 0, False: 0}
    for key, api in sorted(APIS.items()):
        for _ in range(6):
            version = rng.randint(api.served_from, api.max_version)
            fields = mapping(message_class(key, version, REQUEST), rng)
            frame = bytearray(messages.write_request(key, version, 1, "evil", fields)[4:])
            place = rng.randrange(8, len(frame) + 1)
            evil = rng.choice(EVIL)
            frame[place : place + rng.randrange(len(evil) + 1)] = evil
            peer = connect()
            peer.send(framed(bytes(frame)))
            peer.finish()
            answered[peer.answer() is not None] += 1
            peer.close()
    assert answered[False], "some were refused"


@pytest.mark.parametrize("size", [-(2**31), -1, 0, 1, 7])
def test_sizes_that_no_request_has(broker: Headrace, connect: Connect, size: int) -> None:
    peer = connect()
    with one_line(broker, str(size)):
        peer.send(struct.pack(">i", size) + bytes(8))
        assert peer.answer() is None


@pytest.mark.parametrize(
    ("key", "size"),
    [
        (PRODUCE, 2**31 - 1),
        (PRODUCE, 100 * MIB + 1),
        (METADATA, 2 * MIB + 1),
        (FETCH, 2**30),
        (999, 2 * MIB + 1),
    ],
)
def test_oversized_frames_are_refused_before_their_body(
    broker: Headrace, connect: Connect, key: int, size: int
) -> None:
    peer = connect()
    with one_line(broker, str(size), "limit"):
        peer.send(struct.pack(">ihh", size, key, 5))
        assert peer.answer() is None


@pytest.mark.parametrize(
    "hello",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes.fromhex("1603010200010001fc0303") + bytes(500)],
    ids=["HTTP", "TLS"],
)
def test_another_protocol(broker: Headrace, connect: Connect, hello: bytes) -> None:
    peer = connect()
    with one_line(broker):
        peer.send(hello)
        assert peer.answer() is None


def test_announced_bytes_that_never_come_cost_nothing(connect: Connect) -> None:
    """Forty peers announce 100 MiB each: what is kept is what came, with some room."""
    for _ in range(40):
        connect().send(struct.pack(">ihh", 100 * MIB, PRODUCE, 9) + bytes(1000))


def test_requests_that_end_too_early(connect: Connect) -> None:
    """Cut by a peer that goes away, and whole frames that lack their end."""
    rng = random.Random(1)
    for key, api in sorted(APIS.items()):
        fields = mapping(message_class(key, api.max_version, REQUEST), rng)
        whole = request(key, api.max_version, **fields)
        cut = rng.randrange(13, len(whole))
        peer = connect()
        peer.send(whole[:cut])
        peer.finish()
        assert peer.answer() is None
        peer = connect()
        peer.send(framed(whole[4:cut]))
        peer.finish()
        peer.answer()
        peer.close()


@pytest.mark.parametrize("key", [999, 32767, -1, 27, 68])
def test_an_unknown_api_closes_the_connection(broker: Headrace, connect: Connect, key: int) -> None:
    assert key not in APIS
    peer = connect()
    with one_line(broker, f"API key {key} "):
        peer.send(framed(header(key, 0)))
        assert peer.answer() is None


@pytest.mark.parametrize("version", [-1, 99, 32767])
def test_an_unknown_version(broker: Headrace, connect: Connect, version: int) -> None:
    """ApiVersions is answered so that the client can step down (KIP-511), others are closed."""
    for key in (METADATA, PRODUCE):
        peer = connect()
        with one_line(broker, f"API key {key} version {version}"):
            peer.send(framed(header(key, version) + bytes(2)))
            assert peer.answer() is None
    peer = connect()
    peer.send(framed(header(API_VERSIONS, version, 77) + bytes(2)))
    answer = peer.answer()
    assert answer is not None
    assert struct.unpack_from(">ih", answer) == (77, Code.UNSUPPORTED_VERSION)
    peer.send(VERSIONS_REQUEST)
    assert peer.answer() is not None, "the connection lives on"


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_old_produce_whose_lengths_lead_in_circles(
    broker: Headrace, connect: Connect, version: int
) -> None:
    """Names of negative length that point at each other, two thousand million times."""
    counts = struct.pack(">hii", 1, 1000, 2**31 - 1)
    peer = connect()
    with one_line(broker, "Produce"):
        peer.send(framed(header(PRODUCE, version) + counts + struct.pack(">hhhh", -2, -1, -6, -1)))
        assert peer.answer() is None


@pytest.mark.parametrize(
    "frame",
    [
        header(METADATA, 4) + struct.pack(">i", 2**31 - 1),
        header(METADATA, 12) + b"\x00\xff\xff\xff\xff\x07",
        header(PRODUCE, 8) + struct.pack(">hhii", -1, -1, 1000, 2**31 - 1),
        header(PRODUCE, 11) + b"\x00\x00" + struct.pack(">hi", -1, 9) + b"\xff\xff\xff\xff\x07",
        header(FETCH, 11) + struct.pack(">iiiibiii", -1, 0, 0, 1, 0, 0, -1, 2**31 - 1),
    ],
    ids=["Metadata 4", "Metadata 12", "Produce 8", "Produce 11", "Fetch 11"],
)
def test_huge_counts(broker: Headrace, connect: Connect, frame: bytes) -> None:
    """Arrays that say they have two thousand million elements."""
    peer = connect()
    with one_line(broker):
        peer.send(framed(frame))
        assert peer.answer() is None


def test_as_many_topics_as_a_frame_holds(connect: Connect) -> None:
    names = [{"name": f"{n:x}"} for n in range(200_000)]
    whole = metadata_request(9, names)
    assert MIB < len(whole) < 2 * MIB
    peer = connect()
    peer.send(whole)
    answer = peer.answer()
    assert answer is None or len(answer) > len(names)


@pytest.mark.parametrize("what", BATCHES)
def test_corrupt_batches_are_refused(
    broker: Headrace, connect: Connect, topic: str, what: str
) -> None:
    create_topic(broker, topic)
    batch, code = BATCHES[what]
    peer = connect()
    assert peer.produced(topic, batch) == code
    assert peer.produced(topic, good_batch()) == Code.NONE, "the connection lives on"
    assert len(read_to_end(broker, topic)) == 3


@pytest.mark.parametrize("setting", ["record.validation=full", "cleanup.policy=compact"])
def test_spoiled_records_are_refused_where_records_are_looked_at(
    broker: Headrace, connect: Connect, topic: str, setting: str
) -> None:
    create_topic(broker, topic, config=dict([setting.split("=")]))
    peer = connect()
    for what, batch in spoiled_records().items():
        code = peer.produced(topic, batch)
        assert code in (Code.INVALID_RECORD, Code.CORRUPT_MESSAGE), (what, code)
    assert peer.produced(topic, good_batch()) == Code.NONE
    assert len(read_to_end(broker, topic)) == 3


def test_what_cannot_be_unpacked_is_not_packed_anew(
    broker: Headrace, connect: Connect, topic: str
) -> None:
    create_topic(broker, topic, config={"compression.type": "lz4"})
    peer = connect()
    for what, batch in spoiled_records().items():
        if what.startswith("rubbish") and not what.endswith("lz4"):
            assert peer.produced(topic, batch) in (Code.INVALID_RECORD, Code.CORRUPT_MESSAGE), what
    assert peer.produced(topic, good_batch()) == Code.NONE
    assert len(read_to_end(broker, topic)) == 3


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_bomb_is_not_unpacked(broker: Headrace, connect: Connect, topic: str, codec: str) -> None:
    create_topic(
        broker, topic, config={"cleanup.policy": "compact", "max.message.bytes": str(8 * MIB)}
    )
    code = connect().produced(topic, bomb(codec))
    assert code in (Code.INVALID_RECORD, Code.CORRUPT_MESSAGE, Code.MESSAGE_TOO_LARGE)


def test_half_open_connections(connect: Connect) -> None:
    """Peers that say nothing, or half a word, and stay."""
    for number in range(300):
        connect().send(VERSIONS_REQUEST[: number % len(VERSIONS_REQUEST)])


def test_peers_that_reset(broker: Headrace, connect: Connect, topic: str) -> None:
    """In the midst of a request, with an answer on its way."""
    create_topic(broker, topic)
    for _ in range(50):
        peer = connect()
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.send(produce_request(topic, good_batch()) + VERSIONS_REQUEST[:9])
        peer.close()


def fetch_request(topic_id: Any) -> bytes:
    partition = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": MIB}
    return request(
        FETCH,
        13,
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=50 * MIB,
        session_id=0,
        session_epoch=-1,
        topics=[{"topic_id": topic_id, "partitions": [partition]}],
        forgotten_topics_data=[],
    )


def test_slow_readers_of_data(broker: Headrace, connect: Connect, topic: str) -> None:
    """Twenty peers ask for 2 GB and do not read; others are served in the meantime."""
    create_topic(broker, topic)
    produce(broker, topic, [(None, os.urandom(100_000)) for _ in range(40)])
    peer = connect()
    peer.send(metadata_request(12, [{"topic_id": UUID(int=0), "name": topic}]))
    answer = peer.answer()
    assert answer is not None
    topic_id = messages.read_response(METADATA, 12, answer).topics[0].topic_id
    slow = [connect(receive_bytes=4096) for _ in range(20)]
    for one in slow:
        one.send(fetch_request(topic_id) * 100)
    assert len(read_to_end(broker, topic)) == 40
    for one in slow[:3]:
        first = one.answer()
        assert first is not None
        assert len(first) > 900_000, "whoever reads at last gets what was asked"


def test_a_flood_of_requests_without_reading(connect: Connect) -> None:
    """The broker stops reading from such a peer instead of keeping its answers."""
    flood = VERSIONS_REQUEST * 2000
    peer = connect(receive_bytes=4096)
    peer.socket.settimeout(1.0)
    with pytest.raises(TimeoutError):
        for _ in range(256 * MIB // len(flood)):
            peer.socket.sendall(flood)


def test_more_connections_than_allowed(make_broker: MakeBroker) -> None:
    broker = make_broker({"max.connections": "20"})
    held = [Peer(broker) for _ in range(20)]
    for peer in held:
        peer.send(VERSIONS_REQUEST)
        assert peer.answer() is not None
    refused = Peer(broker)
    assert refused.answer() is None
    assert broker.output().count("max.connections is reached") == 1
    for peer in [*held, refused]:
        peer.close()
    produce(broker, "after", pairs("none", 3))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("num.partitoins=3", ("num.partitoins",)),
        ("num.partitoins=3\nzookeeper.connect=z:1", ("num.partitoins", "zookeeper.connect")),
        ("listeners=SSL://:0", ("SSL", "plain TCP")),
        ("num.partitions=many", ("num.partitions", "many")),
        ("num.partitions=0", ("num.partitions", "0")),
        ("log.cleanup.policy=shred", ("log.cleanup.policy", "shred")),
        ("durability=sometimes", ("durability", "sometimes", "never")),
        ("listeners=nonsense", ("listeners", "nonsense")),
        ("no equals sign", ("no equals sign",)),
    ],
)
def test_a_bad_setting_stops_the_start(tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    file, data = tmp_path / "broker.properties", tmp_path / "data"
    given = "" if line.startswith("listeners") else "listeners=PLAINTEXT://:0\n"
    file.write_text(f"log.dirs={data}\nhttp.port=0\n{given}{line}\n")
    sources = [(["broker", "--config", str(file)], str(file))]
    if "=" in line and "\n" not in line and not line.startswith("listeners"):
        ours = ["dev", "--data-dir", str(data), "--kafka-port", "0", "--http-port", "0"]
        sources.append(([*ours, "--set", line], "--set"))
    for command, where in sources:
        done = subprocess.run(
            [str(executable()), *command], capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert done.returncode in (1, 2), done.stderr
        assert not done.stdout
        said = done.stderr.strip()
        assert all(word in said for word in (*words, where)), said
        assert "Traceback" not in said
        assert len(said.splitlines()) == 1, said
    assert not data.exists(), "nothing was begun"
