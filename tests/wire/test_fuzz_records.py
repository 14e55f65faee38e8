"""Hostile record batches: a Code or CorruptRecords, never another exception, bounded memory."""

import random
import tracemalloc

import pytest
from headrace.base.errors import Code, Refusal
from headrace.config.topic import LogSettings
from headrace.wire import offsets_topic, records
from headrace.wire.batch import HEADER_BYTES, check_batch, read_batch_header, set_crc
from headrace.wire.compression import CODECS, CompressionError, compress, decompress
from headrace.wire.consumer_protocol import read_assignment, read_subscription
from headrace.wire.framing import ProtocolError
from headrace.wire.producer_snapshot import CorruptSnapshot, decode_snapshot

from tests.opened import recompress, validate
from tests.wire.test_golden import GOLDEN

SEEDS = range(6)
BATCHES_A_SEED = 700
NOW_MS = 1_700_000_000_000
SETTINGS = LogSettings()
EXPECTED = {
    Code.INVALID_RECORD,
    Code.CORRUPT_MESSAGE,
    Code.UNSUPPORTED_COMPRESSION_TYPE,
    Code.INVALID_TXN_STATE,
    Code.INVALID_TIMESTAMP,
}


def batch(rng: random.Random) -> bytearray:
    return records.build_batch(
        [
            records.NewRecord(
                rng.choice((None, b"k", rng.randbytes(70))),
                rng.choice((None, b"", rng.randbytes(rng.randrange(300)))),
                NOW_MS + rng.randrange(100),
                (records.Header("h", b"v"),) * rng.randrange(3),
            )
            for _ in range(rng.randint(1, 20))
        ],
        codec=rng.choice([*CODECS.values()]),
        producer_id=rng.choice((-1, 7)),
        base_sequence=0,
    )


def hostile(rng: random.Random) -> bytearray:
    """Changed bytes, mostly with the CRC made good again, so that they get past the header."""
    made = batch(rng)
    for _ in range(rng.randint(1, 3)):
        first = rng.choice((0, HEADER_BYTES, HEADER_BYTES))
        made[rng.randrange(min(first, len(made) - 1), len(made))] = rng.randrange(256)
    if rng.random() < 0.2:
        del made[rng.randrange(len(made)) :]
    if rng.random() < 0.8 and len(made) >= HEADER_BYTES:
        set_crc(memoryview(made), 0, len(made))
    return made


def judge(made: bytearray, rng: random.Random) -> str:
    """As the broker takes a batch of a compacted topic with another codec."""
    view = memoryview(made)
    header = check_batch(view, 0, len(made), SETTINGS, NOW_MS)
    if isinstance(header, Refusal):
        assert header.code in EXPECTED and header.message
        return "refused by its header"
    changed = recompress(view, rng.choice([*CODECS.values()]))
    refusal = validate(view, keys_required=False)
    if refusal is not None:
        assert refusal.code in EXPECTED and refusal.message
        with pytest.raises(records.CorruptRecords):
            _exhaust(view, header.record_count)
        return "refused by its records"
    assert not isinstance(changed, Refusal)
    assert list(records.walk(changed)) == list(records.walk(view))
    return "taken"


def _exhaust(view: memoryview, count: int) -> None:
    """Walking must stop on all that validation refuses, but for offsets out of order."""
    walked = list(records.walk(view))
    if [r.offset for r in walked] != list(range(count)):
        raise records.CorruptRecords("offsets out of order")


@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_batches_are_refused_or_whole(seed: int) -> None:
    rng = random.Random(seed)
    outcomes: dict[str, int] = {}
    for _ in range(BATCHES_A_SEED):
        verdict = judge(hostile(rng), rng)
        outcomes[verdict] = outcomes.get(verdict, 0) + 1
    assert len(outcomes) == 3 and min(outcomes.values()) > BATCHES_A_SEED // 20, outcomes


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_bomb_is_refused_in_little_memory(codec: int) -> None:
    bomb = bytes(compress(codec, bytes(64 * 1024 * 1024)))
    most = 1024 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(CompressionError, match="more than"):
            decompress(codec, bomb, most)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * most


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_lying_record_count_takes_no_memory(codec: int) -> None:
    made = batch(random.Random(1))
    header = read_batch_header(made, 0)._replace(record_count=2**31 - 1)
    lie = records.seal_batch(header, b"\0" * 100, codec)
    tracemalloc.start()
    try:
        with pytest.raises(records.CorruptRecords):
            list(records.walk(lie))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 512 * 1024


DECODERS = {
    "offset-key.bin": (offsets_topic.decode_key, offsets_topic.UnreadableRecord),
    "group-key.bin": (offsets_topic.decode_key, offsets_topic.UnreadableRecord),
    "offset-value-v1.bin": (offsets_topic.decode_offset, offsets_topic.UnreadableRecord),
    "offset-value-v4.bin": (offsets_topic.decode_offset, offsets_topic.UnreadableRecord),
    "group-value-v3.bin": (offsets_topic.decode_group, offsets_topic.UnreadableRecord),
    "group-value-v4.bin": (offsets_topic.decode_group, offsets_topic.UnreadableRecord),
    "subscription.bin": (read_subscription, ProtocolError),
    "assignment.bin": (read_assignment, ProtocolError),
    "producers.snapshot": (decode_snapshot, CorruptSnapshot),
}


@pytest.mark.parametrize("name", DECODERS)
def test_broken_internal_records_raise_only_their_own_error(name: str) -> None:
    decode, error = DECODERS[name]
    whole = (GOLDEN / name).read_bytes()
    decode(whole)
    rng = random.Random(name)
    refused = 0
    for _ in range(600):
        data = bytearray(whole)
        data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            decode(bytes(data[: rng.randint(1, len(data))]))
        except error:
            refused += 1
    assert refused > 300
