"""`headrace log dump` shows what is in a segment, and every kind of damage."""

import json
import shutil
from pathlib import Path

import pytest
from headrace.wire.offsets_topic import OffsetKey, OffsetValue, encode_key, encode_offset
from headrace.wire.records import NewRecord, build_batch

from tests.command_line import Terminal, run

FIRST = bytes(
    build_batch(
        [NewRecord(b"k", b"a", 5), NewRecord(None, None, 6)],
        producer_id=9,
        producer_epoch=0,
        base_sequence=0,
    )
)
SECOND = bytes(build_batch([NewRecord(None, b"c", 7)], base_offset=2, codec=4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "raw-0"
    folder.mkdir()
    (folder / "00000000000000000000.log").write_bytes(FIRST + SECOND)
    (folder / "00000000000000000000.index").write_bytes(b"")
    return folder


def test_a_folder_is_dumped_as_one_json_object(folder: Path) -> None:
    done = run("log", "dump", str(folder), "--records", "-o", "json")
    assert (done.code, done.err) == (0, "")
    shown = json.loads(done.out)
    (segment,) = shown["segments"]
    first, second = segment["batches"]
    assert shown["faults"] == 0 and segment["end"] is None
    assert (first["base_offset"], first["last_offset"], first["producer_id"]) == (0, 1, 9)
    assert [(r["offset"], r["key"], r["value"]) for r in first["content"]] == [
        (0, "k", "a"),
        (1, None, None),
    ]
    assert (second["position"], second["codec"]) == (len(FIRST), "zstd")
    assert [r["value"] for r in second["content"]] == ["c"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (FIRST + SECOND[:-1], "ends inside the batch at byte"),
        (FIRST + SECOND[:30], "ends inside a batch header"),
        (FIRST[:-1] + b"\x7f" + SECOND, "DAMAGED: its checksum does not match"),
        (FIRST + FIRST, "DAMAGED: offset 0 comes after 1"),
        (FIRST + b"\x01" * 80, "no batch at byte"),
    ],
)
def test_damage_is_shown_and_is_code_1(folder: Path, data: bytes, words: str) -> None:
    file = folder / "00000000000000000000.log"
    file.write_bytes(data)
    done = run("log", "dump", str(file))
    assert done.code == 1
    assert words in done.out.decode() and "1 damaged" in done.out.decode()


def test_a_terminal_of_80_columns_is_enough(folder: Path) -> None:
    arguments = ["log", "dump", "00000000000000000000.log"]
    with Terminal.running(*arguments, columns=80, folder=folder) as terminal:
        assert terminal.end() == 0
    assert "NEWEST" in terminal.shown and max(map(len, terminal.shown.splitlines())) <= 80
    said, *table = terminal.shown.splitlines()
    assert said.startswith("EPOCH, PRODUCER, SEQUENCE take 110 columns")
    assert not any("PRODUCER" in line for line in table)
    assert b"PRODUCER" in run("log", "dump", str(folder)).out


def test_a_folder_need_not_be_named_in_utf8(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd-\udcff"
    odd.mkdir()
    shutil.copy(folder / "00000000000000000000.log", odd)
    done = run("log", "dump", str(odd), environment={"PYTHONIOENCODING": "utf-8:strict"})
    assert done.code == 0 and b"odd-\xff/0000" in done.out


def test_preallocated_room_is_no_damage(folder: Path) -> None:
    (folder / "00000000000000000000.log").write_bytes(FIRST + bytes(100))
    done = run("log", "dump", str(folder))
    assert done.code == 0
    assert f"zeros from byte {len(FIRST)}" in done.out.decode()


def test_committed_offsets_are_shown_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    key = encode_key(OffsetKey(group_id="g", topic="t", partition=3))
    value = encode_offset(OffsetValue(offset=42, commit_timestamp_ms=1))
    batch = build_batch([NewRecord(key, value, 1)])
    (folder / "00000000000000000000.log").write_bytes(batch)
    done = run("log", "dump", str(folder), "--records")
    assert "group g, t-3: offset 42" in done.out.decode()


def test_a_folder_without_segments_is_told(tmp_path: Path) -> None:
    done = run("log", "dump", str(tmp_path))
    assert done.code == 1 and "holds no segment" in done.err
