"""The simulated disk: exactly what POSIX leaves open is lost, and nothing that was synced is."""

import random

import pytest
from headrace.sim.disk import SimDisk
from headrace.storage.disk import DiskFault, DiskFull

RNG = random.Random(1)


def contents(disk: SimDisk, folder: str = "/d") -> dict[str, bytes]:
    return {name: disk.read(f"{folder}/{name}") for name in disk.list(folder)}


def states(disk: SimDisk, most: int = 10_000) -> list[dict[str, bytes]]:
    return [contents(cut) for cut in disk.cuts(RNG, most)]


@pytest.fixture
def disk() -> SimDisk:
    disk = SimDisk()
    disk.make_dir("/d")
    return disk


def test_what_was_synced_survives_any_cut(disk: SimDisk) -> None:
    file = disk.open("/d/log", create=True)
    file.append(b"x" * 2000)
    file.sync()
    disk.sync_dir("/d")
    assert states(disk) == [{"log": b"x" * 2000}]


def test_a_process_kill_loses_nothing_and_a_later_cut_still_may(disk: SimDisk) -> None:
    disk.open("/d/log", create=True).append(b"abc")
    after = disk.kill()
    assert contents(after) == {"log": b"abc"}
    assert {} in states(after)
    after.open("/d/log").append(b"def")
    assert contents(disk) == {"log": b"abc"}, "the disks are separate"


def test_a_synced_file_whose_name_was_not_is_lost(disk: SimDisk) -> None:
    file = disk.open("/d/log", create=True)
    file.append(b"abc")
    file.sync()
    assert states(disk) == [{}, {"log": b"abc"}]


def test_unsynced_appends_survive_as_a_prefix_torn_at_sectors(disk: SimDisk) -> None:
    file = disk.open("/d/log", create=True)
    disk.sync_dir("/d")
    file.append(b"a" * 500)
    file.append(b"b" * 1000)
    whole = b"a" * 500 + b"b" * 1000
    found = {state["log"] for state in states(disk)}
    assert {b"", b"a" * 500, whole, whole[:512], whole[:1024]} <= found
    assert bytes(500) in found, "the size without the data"
    assert whole[:512] + bytes(512) + whole[1024:] in found, "a sector missing in the middle"
    for each in found:
        same = [each[n] in (0, whole[n]) for n in range(len(each))]
        assert all(same), "never a byte that was not written"
        edge = len(each)
        assert edge in (0, 500, 1500) or edge % 512 == 0


def test_writes_after_a_failed_sync_do_not_bring_its_pages_back(disk: SimDisk) -> None:
    file = disk.open("/d/log", create=True)
    disk.sync_dir("/d")
    file.append(b"abc")
    disk.fail("sync", "/d/log")
    with pytest.raises(DiskFault):
        file.sync()
    assert disk.read("/d/log") == b"abc", "the cache still has them"
    file.append(b"def")
    file.sync()
    assert states(disk) == [{"log": b"\0\0\0def"}]


def test_changes_of_names_survive_as_a_prefix(disk: SimDisk) -> None:
    for name in ("a", "b"):
        file = disk.open(f"/d/{name}", create=True)
        file.append(name.encode())
        file.sync()
    disk.sync_dir("/d")
    disk.rename("/d/a", "/d/c")
    disk.remove("/d/b")
    assert states(disk) == [{"a": b"a", "b": b"b"}, {"b": b"b", "c": b"a"}, {"c": b"a"}]


def test_an_atomic_replacement_is_old_or_new_and_then_new(disk: SimDisk) -> None:
    disk.write_atomically("/d/x", [b"old"])
    seen = []
    disk.watch = lambda operation: seen.extend(states(disk))
    disk.write_atomically("/d/x", [b"new"])
    assert {state.get("x") for state in seen} == {b"old", b"new"}
    assert states(disk) == [{"x": b"new"}]


def test_a_missing_directory_sync_can_be_planted(disk: SimDisk) -> None:
    disk.ignores = lambda kind, path: kind == "sync_dir"
    disk.write_atomically("/d/x", [b"new"])
    assert {} in states(disk)


def test_many_states_are_sampled_with_both_extremes(disk: SimDisk) -> None:
    for n in range(20):
        disk.open(f"/d/{n:02}", create=True).append(b"z" * 3000)
    found = states(disk, most=50)
    assert len(found) == 50
    assert found[0] == {}
    assert found[1] == contents(disk)


def test_a_full_disk_refuses_whole_appends_and_recovers_with_room(disk: SimDisk) -> None:
    file = disk.open("/d/log", create=True)
    disk.capacity_bytes = 100
    file.append(b"x" * 60)
    with pytest.raises(DiskFull):
        file.append(b"y" * 60)
    assert disk.read("/d/log") == b"x" * 60
    with pytest.raises(DiskFull):
        disk.write_atomically("/d/new", [b"z" * 60])
    assert disk.list("/d") == ["log"]
    disk.remove("/d/log")
    assert disk.free_bytes("/d") == 100


def test_errors_are_armed_for_a_kind_and_a_path(disk: SimDisk) -> None:
    disk.fail("append", ".index", times=2)
    disk.open("/d/a.log", create=True).append(b"fine")
    index = disk.open("/d/a.index", create=True)
    for _ in range(2):
        with pytest.raises(DiskFault):
            index.append(b"no")
    index.append(b"yes")
    assert disk.read("/d/a.index") == b"yes"
