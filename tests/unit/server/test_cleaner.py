"""The broker's side of compaction, with the real child process and real files."""

import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from headrace.config.broker import BrokerSettings
from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.server import cleaner_child
from headrace.server.cleaner import Cleaner
from headrace.sim.reading import read_records
from headrace.storage.data_dir import DataDir
from headrace.storage.log import Log
from headrace.storage.os_disk import OsDisk
from headrace.wire.records import NewRecord, build_batch

SETTINGS = LogSettings(cleanup_policy=("compact",), segment_bytes=2000)


class Held:
    """As much of a partition as the cleaner sees."""

    def __init__(self, data_dir: DataDir, topic: str, settings: LogSettings = SETTINGS) -> None:
        self.topic, self.index, self.topic_id = topic, 0, UUID(int=len(topic))
        self.name = f"{topic}-0"
        self.failure: str | None = None
        self.producers = Producers()
        path = data_dir.partition_path(topic, 0, self.topic_id)
        self.log = Log.open(data_dir.disk, path, settings, self.producers, clean=True, now_ms=0)

    @property
    def last_stable_offset(self) -> int:
        return self.log.log_end_offset

    def fail(self, why: str) -> None:
        self.failure = why

    def write(self, count: int, keys: int) -> None:
        for _ in range(count):
            offset = self.log.log_end_offset
            record = NewRecord(b"k%d" % (offset % keys), b"%d" % offset, 1000)
            batch = build_batch([record], base_offset=offset, leader_epoch=0)
            self.log.append(batch, last_offset=offset, max_timestamp=1000, leader_epoch=0, now_ms=0)
        self.log.roll(0)

    def offsets(self) -> list[int]:
        return [record.offset for record in read_records(self.log)]


class Flusher:
    """Flushes at once."""

    def soon(self, partition: Held, *, checkpoint: bool = False) -> None:
        flush = partition.log.begin_flush(checkpoint=checkpoint)
        flush.run()
        partition.log.flushed(flush)


class Clock:
    def wall_ms(self) -> int:
        return 5000


class Rig:
    def __init__(self, folder: Path) -> None:
        self.data_dir = DataDir.open(OsDisk(), str(folder), node_id=1)
        self.partitions: list[Held] = []
        self.removed: list[str] = []
        self.settings = BrokerSettings()
        self.cleaner = self.again()

    def again(self) -> Cleaner:
        return Cleaner(
            self.partitions,  # type: ignore[arg-type]
            self.data_dir,
            Flusher(),  # type: ignore[arg-type]
            Clock(),  # type: ignore[arg-type]
            lambda: self.settings,
            lambda partition, paths: self.removed.extend(paths),
        )

    def hold(self, topic: str, settings: LogSettings = SETTINGS) -> Held:
        self.partitions.append(Held(self.data_dir, topic, settings))
        return self.partitions[-1]


@pytest.fixture
async def rig(tmp_path: Path):
    made = Rig(tmp_path / "data")
    yield made
    await made.cleaner.close()
    made.data_dir.close()


async def test_it_takes_the_dirtiest_and_remembers_how_far_it_came(rig: Rig) -> None:
    clean_one, dirty = rig.hold("a"), rig.hold("bb")
    clean_one.write(20, 20)
    dirty.write(60, 3)
    rig.hold("ccc", replace(SETTINGS, cleanup_policy=("delete",))).write(60, 3)
    assert await rig.cleaner.clean_dirtiest()
    assert await rig.cleaner.clean_dirtiest()
    assert not await rig.cleaner.clean_dirtiest(), "nothing is dirty any more"
    assert dirty.offsets() == [57, 58, 59]
    assert clean_one.offsets() == list(range(20))
    assert len(rig.partitions[2].offsets()) == 60
    assert rig.data_dir.cleaned_to() == {("a", 0): 20, ("bb", 0): 60}
    assert rig.cleaner.passes == 2
    assert 0 < rig.cleaner.bytes_after < rig.cleaner.bytes_before
    assert rig.removed and all(name.endswith(".deleted") for name in rig.removed)
    again = rig.again()
    again.start()
    assert not await again.clean_dirtiest(), "the checkpoint is read at the next start"
    await again.close()


async def test_what_cannot_be_compacted_is_left_alone_and_said(rig: Rig) -> None:
    bad, good = rig.hold("bad"), rig.hold("good")
    bad.write(60, 2)
    good.write(20, 4)
    file = Path(bad.log.path) / "00000000000000000000.log"
    data = bytearray(file.read_bytes())
    data[70] ^= 1
    file.write_bytes(data)
    while await rig.cleaner.clean_dirtiest():
        pass
    assert list(rig.cleaner.uncleanable) == ["bad-0"]
    assert "CRC" in rig.cleaner.uncleanable["bad-0"]
    assert good.offsets() == [16, 17, 18, 19]
    assert not [n for n in OsDisk().list(bad.log.path) if n.endswith(".cleaned")]
    rig.partitions.remove(bad)
    await rig.cleaner.clean_dirtiest()
    assert rig.cleaner.uncleanable == {}, "a deleted one is forgotten"


async def test_damage_met_while_planning_leaves_that_log_alone(rig: Rig) -> None:
    bad = rig.hold("bad", replace(SETTINGS, min_compaction_lag_ms=1))
    bad.write(60, 2)
    bad.log.close()
    disk, path = rig.data_dir.disk, bad.log.path
    for name in disk.list(path):
        if name.endswith("index"):
            disk.remove(f"{path}/{name}")
    file = Path(path) / "00000000000000000000.log"
    data = bytearray(file.read_bytes())
    data[8:12] = bytes(4)
    file.write_bytes(data)
    bad.log = Log.open(disk, path, bad.log.settings, bad.producers, clean=True, now_ms=0)
    assert not await rig.cleaner.clean_dirtiest()
    assert bad.failure is None
    assert "damaged" in rig.cleaner.uncleanable["bad-0"]


async def test_a_child_that_dies_is_tried_again_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = rig.hold("a")
    held.write(60, 3)
    monkeypatch.setattr(cleaner_child, "COMMAND", ("/bin/false",))
    assert await rig.cleaner.clean_dirtiest()
    monkeypatch.undo()
    assert not await rig.cleaner.clean_dirtiest(), "not at once"
    assert rig.cleaner.uncleanable == {}
    rig.cleaner._failures.clear()  # as if the time had passed
    assert await rig.cleaner.clean_dirtiest()
    assert held.offsets() == [57, 58, 59]


async def test_five_failures_in_a_row_are_enough(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.hold("a").write(60, 3)
    monkeypatch.setattr(cleaner_child, "COMMAND", ("/bin/false",))
    for attempt in range(1, 6):
        assert await rig.cleaner.clean_dirtiest()
        held = rig.partitions[0]
        if attempt < 5:
            assert rig.cleaner.uncleanable == {}
            rig.cleaner._failures[held] = attempt, 0.0  # type: ignore[index]
    assert list(rig.cleaner.uncleanable) == ["a-0"]


async def test_a_new_topic_of_the_same_name_begins_anew(rig: Rig) -> None:
    old = rig.hold("a")
    old.write(60, 3)
    assert await rig.cleaner.clean_dirtiest()
    rig.partitions.clear()
    rig.data_dir.retire_partition("a", 0, old.topic_id)
    Held.__init__(new := Held.__new__(Held), rig.data_dir, "a")
    new.topic_id = UUID(int=99)
    new.write(70, 3)
    rig.partitions.append(new)
    assert await rig.cleaner.clean_dirtiest()
    assert new.offsets() == [67, 68, 69]


async def test_a_restart_does_not_bring_an_old_topics_offset_back(rig: Rig) -> None:
    old = rig.hold("a")
    old.write(60, 3)
    assert await rig.cleaner.clean_dirtiest()
    rig.partitions.clear()
    rig.data_dir.retire_partition("a", 0, old.topic_id)
    rig.data_dir.partition_path("a", 0, UUID(int=99))
    assert rig.data_dir.cleaned_to() == {}


async def test_one_child_does_one_pass_after_another_until_the_cleaner_is_closed(rig: Rig) -> None:
    held = rig.hold("a")
    children = set()
    for round_ in (1, 2):
        held.write(60 * round_, 3)
        assert await rig.cleaner.clean_dirtiest()
        process = rig.cleaner._child._process
        assert process is not None
        children.add(process.pid)
    assert len(children) == 1
    await rig.cleaner.close()
    with pytest.raises(ProcessLookupError):
        os.kill(children.pop(), 0)
