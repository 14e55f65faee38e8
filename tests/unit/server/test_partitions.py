"""Partitions of a real broker over restarts: what was acknowledged is there again."""

from pathlib import Path

import pytest
from headrace.base.errors import Code
from headrace.server import fetching, metrics
from headrace.wire.batch import read_batch_header
from headrace.wire.fetch import FetchPartition
from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import Rig, running


def _append(rig: Rig, topic: str, count: int) -> None:
    partition = rig.broker.partitions.get(topic, 0)
    assert partition is not None
    for number in range(count):
        partition.append_as_leader(build_batch([NewRecord(b"k", b"v", 1 + number)]), 1)


def _bounds(rig: Rig, topic: str) -> tuple[int, int]:
    partition = rig.broker.partitions.get(topic, 0)
    assert partition is not None
    return partition.log.log_start_offset, partition.log.log_end_offset


async def test_a_topic_deleted_and_made_anew_keeps_its_records(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as rig:
        await rig.create("t")
        _append(rig, "t", 50)
        partition = rig.broker.partitions.get("t", 0)
        assert partition is not None
        partition.log.advance_start_offset(40)
    async with running(tmp_path / "data") as rig:
        assert _bounds(rig, "t") == (40, 50)
        await rig(20, 5, topic_names=["t"])
        await rig.create("t")
        _append(rig, "t", 10)
    async with running(tmp_path / "data") as rig:
        assert _bounds(rig, "t") == (0, 10)


async def test_a_large_topic_is_made_anew_while_its_old_folders_go(tmp_path: Path) -> None:
    """Folders are let go in turns; a partition of the same name finishes its own first."""
    last = 299
    async with running(tmp_path / "data") as rig:
        await rig.create("t", last + 1)
        await rig.broker.partitions.all_open()
        old = rig.broker.partitions.get("t", last)
        assert old is not None
        await rig(20, 5, topic_names=["t"])
        assert rig.broker.partitions.get("t", last) is None
        await rig.create("t", last + 1)
        await rig.broker.partitions.all_open()
        new = rig.broker.partitions.get("t", last)
        assert new is not None and new.topic_id != old.topic_id
        _append(rig, "t", 10)
    async with running(tmp_path / "data") as rig:
        assert len(rig.broker.partitions) == last + 1
        assert _bounds(rig, "t") == (0, 10)


def _fetch(rig: Rig, topic: str, offset: int) -> Code:
    terms = fetching.Terms(
        max_wait_ms=0, min_bytes=1, max_bytes=1000, committed_only=False, is_consumer=True
    )
    item = FetchPartition(0, -1, offset, -1, -1, 1000)
    return fetching.look(rig.broker, [((topic, 0), item)], terms)[0][0].code


async def test_damage_in_an_old_segment_is_that_partitions_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path / "data") as rig:
        for topic in ("bad", "good"):
            await rig.create(topic)
            _append(rig, topic, 50)
            partition = rig.broker.partitions.get(topic, 0)
            assert partition is not None
            partition.log.roll(1)
            _append(rig, topic, 1)
    path = tmp_path / "data" / "bad-0" / "00000000000000000000.log"
    data = bytearray(path.read_bytes())
    second = read_batch_header(data, 0).size_bytes
    data[second + 8 : second + 12] = bytes(4)
    path.write_bytes(data)
    async with running(tmp_path / "data") as rig:
        assert _fetch(rig, "bad", 40) == Code.CORRUPT_MESSAGE
        said = capsys.readouterr().out
        assert "partition=bad-0" in said and "offset 40" in said, "where"
        assert str(path) in said and "headrace log dump" in said, "and what to do"
        asked = {"partition_index": 0, "current_leader_epoch": -1, "timestamp": 30}
        topics = [{"name": "bad", "partitions": [asked]}]
        answer = await rig(2, 7, replica_id=-1, isolation_level=0, topics=topics)
        assert answer["topics"][0]["partitions"][0]["error_code"] == Code.CORRUPT_MESSAGE
        assert "bad-0" not in capsys.readouterr().out, "one line, however often its readers ask"
        page = "".join([chunk async for chunk in metrics.render(rig.broker)])
        assert "headrace_log_damaged_reads_total 2\n" in page
        assert _fetch(rig, "bad", 50) == _fetch(rig, "good", 40) == Code.NONE
        await rig.broker.housekeeping._retention()
        assert _bounds(rig, "bad")[0] >= 50, "its records are old enough to go"
        assert not rig.broker.failed.done()
