"""The contract of the Disk port, on the real file system and on the simulated one."""

import random
import resource
from pathlib import Path

import pytest
from headrace.sim.disk import SimDisk
from headrace.storage.disk import Disk, DiskFault, NoDescriptor
from headrace.storage.os_disk import OsDisk


@pytest.fixture(params=["os", "sim"])
def disk(request: pytest.FixtureRequest) -> Disk:
    return OsDisk() if request.param == "os" else SimDisk()


@pytest.fixture
def home(disk: Disk, tmp_path) -> str:
    path = str(tmp_path) if isinstance(disk, OsDisk) else "/data/home"
    disk.make_dir(path)
    return path


def test_appends_are_read_back_and_counted(disk: Disk, home: str) -> None:
    file = disk.open(f"{home}/log", create=True)
    assert file.size == 0
    file.append(b"abc")
    file.append(bytearray(b"defg"))
    file.append(memoryview(b"__hi__")[2:4])
    assert file.size == 9
    assert file.pread(100, 0) == b"abcdefghi"
    assert file.pread(3, 2) == b"cde"
    assert file.pread(5, 7) == b"hi"
    assert file.pread(5, 9) == b""
    assert disk.read(f"{home}/log") == b"abcdefghi"
    file.close()
    file.close()
    assert disk.open(f"{home}/log").size == 9


def test_a_wide_buffer_counts_its_bytes(disk: Disk, home: str) -> None:
    file = disk.open(f"{home}/log", create=True)
    file.append(memoryview(bytes(range(8))).cast("I"))
    assert file.size == 8
    assert file.pread(8, 0) == bytes(range(8))


def test_nowait_reads_what_the_cache_has_or_nothing(disk: Disk, home: str) -> None:
    file = disk.open(f"{home}/log", create=True)
    file.append(b"x" * 5000)
    got = file.pread_nowait(10_000, 4990)
    assert got in (None, b"x" * 10)
    assert file.pread_nowait(10, 5000) == b""
    assert file.pread_nowait(10, 6000) == b""


def test_truncate_cuts_and_later_appends_go_to_the_new_end(disk: Disk, home: str) -> None:
    file = disk.open(f"{home}/log", create=True)
    file.append(b"abcdef")
    file.truncate(2)
    assert file.size == 2
    file.append(b"Z")
    assert disk.read(f"{home}/log") == b"abZ"
    file.truncate(5)
    assert file.size == 5
    assert disk.read(f"{home}/log") == b"abZ\0\0"


def test_opening_what_is_absent(disk: Disk, home: str) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open(f"{home}/absent")
    with pytest.raises(FileNotFoundError):
        disk.read(f"{home}/absent")
    with pytest.raises(FileNotFoundError):
        disk.stat(f"{home}/absent")
    with pytest.raises(FileNotFoundError):
        disk.list(f"{home}/absent")
    with pytest.raises(FileNotFoundError):
        disk.open(f"{home}/absent/log", create=True)
    with pytest.raises(FileNotFoundError):
        disk.rename(f"{home}/absent", f"{home}/other")
    with pytest.raises(FileNotFoundError):
        disk.sync_dir(f"{home}/absent")
    assert not disk.exists(f"{home}/absent")


def test_create_keeps_what_is_there(disk: Disk, home: str) -> None:
    disk.open(f"{home}/log", create=True).append(b"abc")
    assert disk.open(f"{home}/log", create=True).size == 3


def test_names_are_listed_sorted_renamed_and_removed(disk: Disk, home: str) -> None:
    for name in ("b", "a", "c"):
        disk.open(f"{home}/{name}", create=True).append(name.encode())
    assert disk.list(home) == ["a", "b", "c"]
    disk.rename(f"{home}/a", f"{home}/c")
    assert disk.list(home) == ["b", "c"]
    assert disk.read(f"{home}/c") == b"a"
    disk.remove(f"{home}/b")
    disk.remove(f"{home}/b")
    disk.sync_dir(home)
    assert disk.list(home) == ["c"]


def test_an_open_file_outlives_its_name(disk: Disk, home: str) -> None:
    file = disk.open(f"{home}/log", create=True)
    file.append(b"abc")
    disk.rename(f"{home}/log", f"{home}/log.deleted")
    disk.remove(f"{home}/log.deleted")
    assert file.pread(3, 0) == b"abc"


def test_small_files_are_replaced_whole(disk: Disk, home: str) -> None:
    disk.write_atomically(f"{home}/checkpoint", [b"one ", b"two"])
    assert disk.read(f"{home}/checkpoint") == b"one two"
    disk.write_atomically(f"{home}/checkpoint", [b"3"])
    assert disk.read(f"{home}/checkpoint") == b"3"
    assert disk.list(home) == ["checkpoint"]


def test_directories_are_made_with_parents_and_removed_whole(disk: Disk, home: str) -> None:
    disk.make_dir(f"{home}/x/y/z")
    disk.make_dir(f"{home}/x/y/z")
    disk.open(f"{home}/x/y/log", create=True).append(b"abc")
    disk.rename(f"{home}/x", f"{home}/x-delete")
    assert disk.read(f"{home}/x-delete/y/log") == b"abc"
    with pytest.raises(DiskFault):
        disk.remove(f"{home}/x-delete")
    disk.remove_tree(f"{home}/x-delete")
    disk.remove_tree(f"{home}/x-delete")
    assert disk.list(home) == []


def test_a_lock_is_held_once_until_it_is_released(disk: Disk, home: str) -> None:
    lock = disk.lock(f"{home}/.lock")
    assert lock is not None
    assert disk.lock(f"{home}/.lock") is None
    lock.release()
    again = disk.lock(f"{home}/.lock")
    assert again is not None
    again.release()


def test_stat_and_room(disk: Disk, home: str) -> None:
    disk.open(f"{home}/log", create=True).append(b"abc")
    found = disk.stat(f"{home}/log")
    assert found.size == 3
    assert found.modified_ms >= 0
    assert disk.free_bytes(home) > 0


def test_both_agree_on_random_work(tmp_path) -> None:
    """The same seeded calls leave the same names, bytes and errors on both."""
    os_disk, sim_disk = OsDisk(), SimDisk()
    homes = {id(os_disk): str(tmp_path / "d"), id(sim_disk): "/d"}
    for disk in (os_disk, sim_disk):
        disk.make_dir(homes[id(disk)])

    def run(disk: Disk, seed: int) -> list[object]:
        rng, home, seen = random.Random(seed), homes[id(disk)], []
        for _ in range(60):
            name = f"{home}/{rng.choice('abcd')}"
            other = f"{home}/{rng.choice('abcd')}"
            kind = rng.randrange(7)
            data = rng.randbytes(rng.randrange(40))
            try:
                if kind == 0:
                    disk.open(name, create=rng.random() < 0.7).append(data)
                elif kind == 1:
                    disk.open(name).truncate(rng.randrange(60))
                elif kind == 2:
                    disk.rename(name, other)
                elif kind == 3:
                    disk.remove(name)
                elif kind == 4:
                    disk.write_atomically(name, [data])
                elif kind == 5:
                    file = disk.open(name)
                    file.sync()
                    seen.append((file.size, file.pread(rng.randrange(50), rng.randrange(50))))
                else:
                    disk.sync_dir(home)
            except FileNotFoundError:
                seen.append("absent")
            seen.append([(each, disk.read(f"{home}/{each}")) for each in disk.list(home)])
        return seen

    for seed in range(20):
        assert run(os_disk, seed) == run(sim_disk, seed)


def test_files_leave_the_last_descriptors_to_what_is_open_for_a_moment(tmp_path: Path) -> None:
    first = OsDisk().open(f"{tmp_path}/a", create=True)
    disk = OsDisk(first.fileno() + 1)
    with pytest.raises(NoDescriptor, match="ulimit -n"):
        disk.open(f"{tmp_path}/b", create=True)
    disk.write_atomically(f"{tmp_path}/c", [b"x"])
    disk.sync_dir(str(tmp_path))
    first.close()
    disk.open(f"{tmp_path}/b", create=True).close()


def test_no_descriptor_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    disk, (soft, hard) = OsDisk(), resource.getrlimit(resource.RLIMIT_NOFILE)
    last = disk.open(f"{tmp_path}/a", create=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, hard))
    try:
        for call in (disk.open, disk.read, disk.list, disk.sync_dir, disk.lock):
            with pytest.raises(NoDescriptor):
                call(str(tmp_path))
        with pytest.raises(NoDescriptor):
            disk.write_atomically(f"{tmp_path}/a", [b"x"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
