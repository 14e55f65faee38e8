"""Batches of compacted topics: opened in turns, answered in order, and stored or refused whole."""

import asyncio
from pathlib import Path

from headrace.base.errors import Code, Refusal
from headrace.config.broker import BrokerSettings
from headrace.config.topic import log_settings
from headrace.server.batch_opening import BatchOpening
from headrace.server.record_policy import RecordPolicy
from headrace.wire.batch import CODEC_MASK, read_batch_header
from headrace.wire.compression import NONE, ZSTD
from headrace.wire.records import NewRecord, build_batch, walk

from tests.unit.server.admin_rig import running
from tests.unit.server.produce_peer import connected

MANY = 50_000


def policy_of(**settings: str) -> RecordPolicy:
    overrides = {key.replace("_", "."): value for key, value in settings.items()}
    policy = RecordPolicy.of(log_settings(BrokerSettings(), overrides))
    assert policy is not None
    return policy


def many(codec: int = ZSTD) -> bytearray:
    return build_batch([NewRecord(b"k", b"", 1)] * MANY, codec=codec)


async def test_others_have_their_turn_while_a_batch_is_checked() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    busy = asyncio.create_task(others())
    batch = many()
    assert await BatchOpening().open(policy_of(cleanup_policy="compact"), batch) is batch
    busy.cancel()
    assert turns > 10


async def test_a_batch_is_packed_anew_where_the_topic_has_another_codec() -> None:
    policy = policy_of(compression_type="uncompressed")
    sent = build_batch([NewRecord(None, b"v" * 5000, 9)], codec=ZSTD, producer_id=3)
    made = await BatchOpening().open(policy, sent)
    assert not isinstance(made, Refusal)
    assert read_batch_header(memoryview(made), 0).attributes & CODEC_MASK == NONE
    assert list(walk(made)) == list(walk(sent))


async def test_a_batch_that_grows_above_the_limit_is_refused() -> None:
    policy = policy_of(compression_type="uncompressed", max_message_bytes="5000")
    packed = build_batch([NewRecord(b"k", b"v" * 5000, 9)], codec=ZSTD)
    refusal = await BatchOpening().open(policy, packed)
    assert isinstance(refusal, Refusal) and refusal.code == Code.MESSAGE_TOO_LARGE


async def test_records_that_cannot_be_unpacked_are_corrupt() -> None:
    batch = many()
    batch[-3] ^= 0xFF
    refusal = await BatchOpening().open(policy_of(record_validation="full"), batch)
    assert isinstance(refusal, Refusal) and refusal.code == Code.CORRUPT_MESSAGE


ONE = build_batch([NewRecord(b"k", b"v", 1)])
KEYLESS = build_batch([NewRecord(None, b"v", 1)])


async def test_what_follows_on_the_connection_waits_and_is_answered_in_order(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "d") as rig:
        peer = await connected(rig)
        peer.produce(1, [("c", many()), ("plain", ONE)])
        peer.produce(2, [("c", ONE), ("plain", ONE)])
        assert await peer.produced(1) == [("c", 0, 0), ("plain", 0, 0)]
        assert await peer.produced(2) == [("c", 0, MANY), ("plain", 0, 1)]
        peer.writer.close()


async def test_a_refused_batch_leaves_the_others_of_its_request(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as rig:
        peer = await connected(rig)
        peer.produce(1, [("c", KEYLESS), ("plain", KEYLESS)])
        assert await peer.produced(1) == [("c", Code.INVALID_RECORD, -1), ("plain", 0, 0)]
        peer.writer.close()


async def test_without_acks_a_refusal_closes_the_connection(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as rig:
        peer = await connected(rig)
        peer.produce(1, [("c", ONE)], acks=0)
        peer.produce(2, [("c", ONE)])
        assert await peer.produced(2) == [("c", 0, 1)]
        peer.produce(3, [("c", KEYLESS)], acks=0)
        assert await peer.reader.read() == b""
        peer.writer.close()


async def test_an_opened_batch_waits_for_its_sync_without_holding_the_next(tmp_path: Path) -> None:
    async with running(tmp_path / "d", durability="ack") as rig:
        peer = await connected(rig)
        for number in range(1, 6):
            peer.produce(number, [("c", ONE)])
        for number in range(1, 6):
            assert await peer.produced(number) == [("c", 0, number - 1)]
        peer.writer.close()
