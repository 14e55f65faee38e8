"""Hostile frames: nothing but ProtocolError comes out, and memory stays near the frame's size.

Fixed seeds and a fixed number of frames, so that a failure is the same everywhere. A frame is
random bytes, a valid request cut short, or a valid request with bytes changed.
"""

import random
import tracemalloc

import pytest
from headrace.wire import encode, fetch, messages, produce
from headrace.wire.framing import ProtocolError, read_header
from headrace.wire.schema import REQUEST, message_class
from headrace.wire.versions import APIS, FETCH, PRODUCE

from tests.wire.samples import mapping

SEEDS = range(8)
FRAMES_A_SEED = 1500
PEAK_BYTES_MAX = 2 * 1024 * 1024
"""Frames here are under 10 KB; a length that was believed would show at once."""
EVIL = (b"\xff\xff\xff\xff\x0f", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff" * 9, b"\x00")


def parse(api_key: int, version: int, frame: memoryview, position: int) -> None:
    """As the server reads a request."""
    if api_key == PRODUCE:
        for _, partitions in produce.read_produce(version, frame, position).topics:
            for _, start, end in partitions:
                assert 0 <= start <= end <= len(frame)
    elif api_key == FETCH:
        fetch.read_fetch(version, frame, position)
    else:
        messages.read_request(api_key, version, frame, position)


def valid(rng: random.Random) -> bytes:
    """A request that some API of some version accepts."""
    api = rng.choice([*APIS.values()])
    version = rng.randint(api.served_from, api.max_version)
    fields = mapping(message_class(api.key, version, REQUEST), rng)
    return messages.write_request(api.key, version, rng.randrange(99), "fuzz", fields)[4:]


def hostile(rng: random.Random) -> bytes:
    """A frame that somebody hostile or broken might send."""
    kind = rng.randrange(4)
    if kind == 0:
        api = rng.choice([*APIS.values()])
        head = api.key.to_bytes(2, "big") + rng.randint(0, api.max_version).to_bytes(2, "big")
        return rng.choice((b"", head)) + rng.randbytes(rng.randrange(200))
    frame = bytearray(valid(rng))
    if kind == 1:
        return bytes(frame[: rng.randrange(len(frame))])
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(frame))
        if kind == 2:
            frame[place] = rng.randrange(256)
        else:
            evil = rng.choice(EVIL)
            frame[place : place + rng.randrange(len(evil) + 1)] = evil
    return bytes(frame)


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    for _ in messages.preload():
        pass


@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_frames_only_break_the_protocol(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = {"read": 0, "refused": 0, "not served": 0}
    for _ in range(FRAMES_A_SEED):
        frame = memoryview(bytearray(hostile(rng)))
        try:
            header = read_header(frame)
            api = APIS.get(header.api_key)
            if api is None or not api.serves(header.api_version):
                outcomes["not served"] += 1
                continue
            parse(header.api_key, header.api_version, frame, header.body)
            outcomes["read"] += 1
        except ProtocolError as fault:
            assert str(fault)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > FRAMES_A_SEED // 20, outcomes


@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_frames_take_no_memory(seed: int) -> None:
    rng = random.Random(seed)
    frames = [memoryview(bytearray(hostile(rng))) for _ in range(FRAMES_A_SEED // 3)]
    tracemalloc.start()
    try:
        for frame in frames:
            try:
                header = read_header(frame)
                api = APIS.get(header.api_key)
                if api is not None and api.serves(header.api_version):
                    parse(header.api_key, header.api_version, frame, header.body)
            except ProtocolError:
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < PEAK_BYTES_MAX


@pytest.mark.parametrize("seed", SEEDS)
def test_valid_frames_are_read(seed: int) -> None:
    """The other half of the proof: what is fuzzed above would be accepted unharmed."""
    rng = random.Random(seed)
    for _ in range(200):
        frame = memoryview(valid(rng))
        header = read_header(frame)
        try:
            parse(header.api_key, header.api_version, frame, header.body)
        except ProtocolError as fault:
            pytest.fail(f"{APIS[header.api_key]} v{header.api_version}: {fault}")


@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_answers_only_break_the_protocol(seed: int) -> None:
    """Our own client reads answers with the same codec."""
    rng = random.Random(seed)
    for _ in range(FRAMES_A_SEED // 5):
        api = rng.choice([*APIS.values()])
        version = rng.randint(api.served_from, api.max_version)
        out = bytearray(8)
        entity = message_class(api.key, version, "response")
        encode.entity_writer(entity)(out, mapping(entity, rng))
        for _ in range(rng.randint(1, 3)):
            out[rng.randrange(4, len(out))] = rng.randrange(256)
        try:
            messages.read_response(api.key, version, memoryview(out)[: rng.randrange(len(out))])
        except ProtocolError as fault:
            assert str(fault)
