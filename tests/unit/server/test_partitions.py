"""Partitions of a real broker over restarts: what was acknowledged is there again."""

from pathlib import Path

from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import Rig, running


def _append(rig: Rig, topic: str, count: int) -> None:
    partition = rig.broker.partitions.get(topic, 0)
    assert partition is not None
    for number in range(count):
        partition.append_as_leader(build_batch([NewRecord(b"k", b"%d" % number, 1)]), 1)


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
