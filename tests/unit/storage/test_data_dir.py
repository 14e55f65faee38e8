"""Whose a data directory is, how it was left, and what is renamed before it goes."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from headrace.storage.checkpoint import CorruptCheckpoint, read_offsets, write_offsets
from headrace.storage.data_dir import DataDir, DataDirError, decode_uuid, encode_uuid
from headrace.storage.os_disk import OsDisk

TOPIC, OTHER = UUID(int=7), UUID(int=8)


def opened(tmp_path: Path, node_id: int = 1) -> DataDir:
    return DataDir.open(OsDisk(), str(tmp_path / "data"), node_id=node_id)


def test_a_new_directory_becomes_the_clusters(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    assert (data_dir.cluster_id, data_dir.was_clean) == (None, False)
    data_dir.claim("abc")
    data_dir.close()
    meta = (tmp_path / "data" / "meta.properties").read_text().splitlines()
    assert meta == [
        "cluster.id=abc",
        f"directory.id={data_dir.directory_id}",
        "node.id=1",
        "version=1",
    ]
    again = opened(tmp_path)
    assert (again.cluster_id, again.directory_id) == ("abc", data_dir.directory_id)
    with pytest.raises(DataDirError, match="belongs to cluster abc"):
        again.claim("xyz")
    again.close()
    with pytest.raises(DataDirError, match="belongs to node 1 and this is node 2"):
        opened(tmp_path, node_id=2)
    opened(tmp_path).close()  # the refusal above left no lock behind


def test_only_one_process_has_it(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    with pytest.raises(DataDirError, match="in use by another broker"):
        opened(tmp_path)
    other = (
        "import sys; from headrace.storage.os_disk import OsDisk;"
        "sys.exit(OsDisk().lock(sys.argv[1]) is not None)"
    )
    command = [sys.executable, "-c", other, str(tmp_path / "data" / ".lock")]
    assert subprocess.run(command, timeout=30).returncode == 0
    data_dir.close()
    data_dir.close()
    assert subprocess.run(command, timeout=30).returncode == 1


def test_a_newer_format_and_an_old_meta_are_refused(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    data_dir.claim("abc")
    data_dir.close()
    marker = tmp_path / "data" / "headrace.format"
    marker.write_text("version=2\n")
    with pytest.raises(DataDirError, match="newer Headrace"):
        opened(tmp_path)
    marker.write_text("version=1\n")
    meta = tmp_path / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("version=1", "version=0"))
    with pytest.raises(DataDirError, match="version 0"):
        opened(tmp_path)


def test_the_clean_shutdown_marker(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    data_dir.mark_clean(42)
    data_dir.close()
    marker = tmp_path / "data" / ".kafka_cleanshutdown"
    assert marker.read_text() == '{"version": 0, "brokerEpoch": 42}'
    again = opened(tmp_path)
    assert (again.was_clean, again.clean_broker_epoch) == (True, 42)
    again.mark_running()
    assert not marker.exists()
    again.close()
    marker.write_text("")  # as old Kafkas wrote it
    last = opened(tmp_path)
    assert (last.was_clean, last.clean_broker_epoch) == (True, -1)
    last.close()


def test_checkpoints_come_back(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    data_dir.partition_path("t", 0, TOPIC)
    data_dir.partition_path("a-b", 11, OTHER)
    data_dir.write_checkpoints({("t", 0): 5, ("a-b", 11): 0}, {("t", 0): 3, ("a-b", 11): 0})
    data_dir.close()
    folder = tmp_path / "data"
    assert (folder / "recovery-point-offset-checkpoint").read_text() == "0\n2\na-b 11 0\nt 0 5\n"
    assert (folder / "log-start-offset-checkpoint").read_text() == "0\n1\nt 0 3\n"
    again = opened(tmp_path)
    assert again.recovery_point("t", 0) == 5
    assert again.log_start_offset("t", 0) == 3
    assert again.recovery_point("new", 0) == again.log_start_offset("new", 0) == 0
    again.close()
    (folder / "log-start-offset-checkpoint").write_text("0\n9\n")
    with pytest.raises(DataDirError, match="log-start-offset-checkpoint"):
        opened(tmp_path)


@pytest.mark.parametrize("text", ["1\n0\n", "0\n1\n", "0\n1\nt 0\n", "x", "0\n1\nt 0 y\n"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "checkpoint"
    path.write_text(text)
    with pytest.raises(CorruptCheckpoint):
        read_offsets(OsDisk(), str(path))
    write_offsets(OsDisk(), str(path), {})
    assert read_offsets(OsDisk(), str(path)) == {}


def test_a_partitions_folder_carries_its_topic_id(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    path = data_dir.partition_path("t", 0, TOPIC)
    text = (Path(path) / "partition.metadata").read_text()
    assert text == f"version: 0\ntopic_id: {encode_uuid(TOPIC)}"
    assert data_dir.partition_path("t", 0, TOPIC) == path
    (Path(path) / "mine").touch()
    data_dir.write_checkpoints({("t", 0): 5}, {("t", 0): 5})
    assert data_dir.partition_path("t", 0, OTHER) == path
    assert not (Path(path) / "mine").exists(), "a topic made anew begins with nothing"
    stray = Path(f"{path}.{TOPIC.hex}-stray")
    assert (stray / "mine").exists()
    assert data_dir.recovery_point("t", 0) == 0
    data_dir.close()


def test_strays_are_set_aside_and_others_stay(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    kept = data_dir.partition_path("t", 0, TOPIC)
    data_dir.partition_path("gone", 3, OTHER)
    (tmp_path / "data" / "bare-0").mkdir()
    (tmp_path / "data" / "no partition").mkdir()
    assert data_dir.set_aside_strays({TOPIC}) == [f"gone-3.{OTHER.hex}-stray"]
    assert Path(kept).exists()
    names = sorted(p.name for p in (tmp_path / "data").iterdir() if p.is_dir())
    assert names == ["bare-0", f"gone-3.{OTHER.hex}-stray", "no partition", "t-0"]
    data_dir.close()


def test_a_deleted_partition_is_renamed_first(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    for topic in ("t", "n" * 249):
        path = data_dir.partition_path(topic, 0, TOPIC)
        retired = data_dir.retire_partition(topic, 0, TOPIC)
        assert not Path(path).exists()
        assert Path(retired).exists()
        assert retired.endswith("-delete")
        assert len(Path(retired).name) <= 255
        assert data_dir.retire_partition(topic, 0, TOPIC), "twice is fine"
    data_dir.remove_retired(retired)
    assert not Path(retired).exists()
    data_dir.close()
    opened(tmp_path).close()
    assert not [p for p in (tmp_path / "data").iterdir() if p.name.endswith("-delete")]


def test_uuids_are_written_as_kafka_does() -> None:
    value = UUID("00000000-0000-0001-0000-000000000002")
    assert encode_uuid(value) == "AAAAAAAAAAEAAAAAAAAAAg"
    assert decode_uuid(encode_uuid(value)) == value


def test_a_topic_made_anew_inherits_no_offsets(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    for topic in ("t", "kept"):
        data_dir.partition_path(topic, 0, TOPIC)
    old = {("t", 0): 500, ("kept", 0): 7}
    late = data_dir.checkpoint(old, old)  # the thread that writes it comes after the deletion
    data_dir.write_checkpoints(old, old)
    data_dir.write_cleaned_to(old)
    data_dir.retire_partition("t", 0, TOPIC)
    data_dir.partition_path("t", 0, OTHER)
    late()
    data_dir.close()  # no checkpoint was written since, as where the process is killed
    again = opened(tmp_path)
    assert (again.recovery_point("t", 0), again.log_start_offset("t", 0)) == (0, 0)
    assert (again.recovery_point("kept", 0), again.log_start_offset("kept", 0)) == (7, 7)
    assert again.cleaned_to() == {("kept", 0): 7}
    again.close()


def test_the_checkpoint_after_a_deletion_is_written(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    data_dir.partition_path("t", 0, TOPIC)
    data_dir.write_checkpoints({("t", 0): 5}, {("t", 0): 5})
    data_dir.retire_partition("t", 0, TOPIC)
    data_dir.write_checkpoints({}, {})
    for name in ("recovery-point-offset-checkpoint", "log-start-offset-checkpoint"):
        assert read_offsets(OsDisk(), f"{data_dir.path}/{name}") == {}
    data_dir.close()


def test_offsets_of_a_folder_that_is_gone_are_not_taken_over(tmp_path: Path) -> None:
    data_dir = opened(tmp_path)
    data_dir.partition_path("t", 0, TOPIC)
    data_dir.write_checkpoints({("t", 0): 5}, {("t", 0): 5})
    data_dir.retire_partition("t", 0, TOPIC)
    data_dir.close()
    second = opened(tmp_path)  # finishes the deletion
    second.partition_path("t", 0, OTHER)
    assert (second.recovery_point("t", 0), second.log_start_offset("t", 0)) == (0, 0)
    second.close()
    third = opened(tmp_path)
    assert (third.recovery_point("t", 0), third.log_start_offset("t", 0)) == (0, 0)
    third.close()
