"""What a Fetch finds and how it waits, on a real broker in a folder."""

import asyncio
from pathlib import Path

import pytest
from headrace.base.errors import Code
from headrace.server.fetching import DelayedFetch, Found, Terms, look
from headrace.server.partition import Partition
from headrace.wire.fetch import FetchPartition
from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import Rig, running

PLENTY = 1 << 20
BATCH = build_batch([NewRecord(b"k", b"v" * 100, 1)])


def held(rig: Rig, topic: str) -> Partition:
    partition = rig.broker.partitions.get(topic, 0)
    assert partition is not None
    return partition


def append(rig: Rig, topic: str, count: int = 1) -> None:
    for _ in range(count):
        held(rig, topic).append_as_leader(bytearray(BATCH), 1)


def terms(**changed: int | bool) -> Terms:
    usual = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": PLENTY}
    return Terms(**{**usual, "committed_only": False, "is_consumer": True, **changed})


def item(
    offset: int = 0, *, epoch: int = -1, last_fetched: int = -1, max_bytes: int = PLENTY
) -> FetchPartition:
    return FetchPartition(0, epoch, offset, last_fetched, -1, max_bytes)


def fetch(
    rig: Rig, *wanted: tuple[str, FetchPartition], **changed: int | bool
) -> tuple[list[Found], int, bool]:
    return look(rig.broker, [((topic, 0), one) for topic, one in wanted], terms(**changed))


def counts(found: list[Found]) -> list[int]:
    return [0 if one.slice is None else one.slice.count for one in found]


async def test_what_is_there_and_where_it_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        append(rig, "t", 3)
        held(rig, "t").log.advance_start_offset(1)
        (one,), total, urgent = fetch(rig, ("t", item(1)))
        assert (one.code, one.high_watermark, one.last_stable_offset) == (Code.NONE, 3, 3)
        assert one.log_start_offset == 1
        assert (counts([one]), total, urgent) == ([2 * len(BATCH)], 2 * len(BATCH), False)
        (one,), total, urgent = fetch(rig, ("t", item(3)))
        assert (one.code, one.slice, total, urgent) == (Code.NONE, None, 0, False), "wait for more"


async def test_what_cannot_be_fetched_is_answered_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        append(rig, "t", 2)
        held(rig, "t").log.advance_start_offset(1)
        epoch = held(rig, "t").leader_epoch
        for wanted, code in (
            (("absent", item()), Code.UNKNOWN_TOPIC_OR_PARTITION),
            (("t", item(0)), Code.OFFSET_OUT_OF_RANGE),
            (("t", item(3)), Code.OFFSET_OUT_OF_RANGE),
            (("t", item(1, epoch=epoch + 1)), Code.UNKNOWN_LEADER_EPOCH),
            (("t", item(1, epoch=epoch)), Code.NONE),
        ):
            (one,), _, urgent = fetch(rig, wanted)
            assert (one.code, urgent) == (code, code is not Code.NONE), wanted
        (one,), _, _ = fetch(rig, ("t", item(1)), is_consumer=False)
        assert one.code is Code.NOT_LEADER_OR_FOLLOWER
        held(rig, "t").failure = "its disk failed"
        (one,), _, urgent = fetch(rig, ("t", item(1)))
        assert (one.code, urgent) == (Code.KAFKA_STORAGE_ERROR, True)


async def test_one_partition_that_fails_takes_nothing_from_the_next(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        append(rig, "t")
        found, total, urgent = fetch(rig, ("absent", item()), ("t", item()))
        assert [one.code for one in found] == [Code.UNKNOWN_TOPIC_OR_PARTITION, Code.NONE]
        assert (total, urgent) == (len(BATCH), True)


async def test_nobody_reads_what_is_not_committed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t", durability="ack")
        append(rig, "t")
        (one,), total, urgent = fetch(rig, ("t", item()))
        assert (one.code, one.high_watermark, total, urgent) == (Code.NONE, 0, 0, False)
        async with asyncio.timeout(10):
            while held(rig, "t").high_watermark < 1:  # noqa: ASYNC110 - the flusher's thread
                await asyncio.sleep(0)
        assert fetch(rig, ("t", item()))[1] == len(BATCH)


async def test_a_diverging_epoch_is_told_where_ours_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        append(rig, "t", 2)
        epoch = held(rig, "t").leader_epoch
        (one,), _, urgent = fetch(rig, ("t", item(5, last_fetched=epoch)))
        assert (one.code, one.diverging, urgent) == (Code.NONE, (epoch, 2), True)
        (one,), _, _ = fetch(rig, ("t", item(1, last_fetched=epoch)))
        assert (one.diverging, counts([one])) == (None, [len(BATCH)])


async def test_bytes_are_bounded_but_one_batch_always_comes(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        for topic in ("a", "b"):
            await rig.create(topic)
            append(rig, topic, 4)
        size, both = len(BATCH), (("a", item()), ("b", item()))
        assert counts(fetch(rig, *both, max_bytes=1)[0]) == [size, 0], "KIP-74"
        assert counts(fetch(rig, *both, max_bytes=3 * size)[0]) == [3 * size, 0]
        assert counts(fetch(rig, *both, max_bytes=6 * size + 1)[0]) == [4 * size, 2 * size]
        small = (("a", item(4)), ("b", item(max_bytes=1)), ("a", item(max_bytes=1)))
        assert counts(fetch(rig, *small)[0]) == [0, size, 0], "the first that has data gives one"
    async with running(tmp_path, fetch_max_bytes="1024") as rig:
        limit = rig.broker.settings.fetch_max_bytes
        assert fetch(rig, ("a", item()), ("b", item()))[1] <= max(limit, size)


class Waiting:
    """A DelayedFetch of topic t from `offset` on, and what it gave."""

    def __init__(self, rig: Rig, offset: int = 0, **changed: int | bool) -> None:
        self.given: list[list[Found]] = []
        self.looks = 0
        self._rig, self._terms = rig, terms(**changed)
        self._wanted = item(offset)
        partition = held(rig, "t")
        self.waiters = partition._data_waiters
        self.fetch = DelayedFetch(
            rig.broker.loop, self._terms, [partition], self._look, self.given.append
        )

    def _look(self) -> tuple[list[Found], int, bool]:
        self.looks += 1
        return look(self._rig.broker, [(("t", 0), self._wanted)], self._terms)


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_wait_ends_with_enough_bytes(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        waiting = Waiting(rig, max_wait_ms=60_000, min_bytes=3 * len(BATCH))
        append(rig, "t", 2)
        await turns()
        assert (waiting.looks, waiting.given) == (1, []), "one look for all of a turn's batches"
        append(rig, "t")
        await turns()
        assert [counts(found) for found in waiting.given] == [[3 * len(BATCH)]]
        assert not waiting.waiters, "it waits no more"
        append(rig, "t")
        await turns()
        assert len(waiting.given) == 1


async def test_a_wait_ends_with_its_time(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        append(rig, "t")
        waiting = Waiting(rig, max_wait_ms=1, min_bytes=PLENTY)
        async with asyncio.timeout(10):
            while not waiting.given:  # noqa: ASYNC110 - a timer of its own
                await asyncio.sleep(0)
        assert counts(waiting.given[0]) == [len(BATCH)], "what there is"
        assert not waiting.waiters


async def test_a_wait_ends_with_an_error(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        waiting = Waiting(rig, max_wait_ms=60_000)
        await rig(20, 5, topic_names=["t"])
        async with asyncio.timeout(10):
            while not waiting.given:  # noqa: ASYNC110 - the partition goes when the image says so
                await asyncio.sleep(0)
        assert waiting.given[0][0].code in (
            Code.UNKNOWN_TOPIC_OR_PARTITION,
            Code.KAFKA_STORAGE_ERROR,
        )


@pytest.mark.parametrize("woken", [False, True])
async def test_a_cancelled_wait_gives_nothing_and_leaves_nothing(
    tmp_path: Path, woken: bool
) -> None:
    async with running(tmp_path) as rig:
        await rig.create("t")
        waiting = Waiting(rig, max_wait_ms=60_000)
        if woken:
            append(rig, "t")
        waiting.fetch.cancel()
        append(rig, "t")
        await turns()
        assert (waiting.given, waiting.looks) == ([], 0)
        assert not waiting.waiters
