"""A Fetch of what is not in the page cache: threads bring it there, the loop waits for nothing."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from headrace.storage.disk import DiskFault
from headrace.storage.os_disk import OsFile
from headrace.wire import messages
from headrace.wire.records import NewRecord, build_batch

from tests.logs import split
from tests.unit.server.admin_rig import Rig, plain, running

FETCH, VERSION = 1, 12
STORAGE_ERROR = 56


class ColdDisk:
    """Every file is on the device until a thread has read the place; then it is in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop_thread = threading.get_ident()
        self.warmed: list[tuple[str, int, int]] = []
        self.fails = False
        self._read, self._warm = OsFile.pread_nowait, OsFile.warm
        disk = self

        def is_warm(path: str, count: int, position: int) -> bool:
            return any(
                path == name and start <= position and position + count <= end
                for name, start, end in disk.warmed
            )

        def pread_nowait(file: OsFile, count: int, position: int) -> Any:
            count = max(0, min(count, file.size - position))
            return (
                disk._read(file, count, position) if is_warm(file.path, count, position) else None
            )

        def pread(file: OsFile, count: int, position: int) -> bytes:
            assert threading.get_ident() != disk.loop_thread, "the loop waits for the device"
            if disk.fails:
                raise DiskFault("the disk is broken")
            return real_pread(file, count, position)

        def warm(file: OsFile, count: int, position: int) -> None:
            assert threading.get_ident() != disk.loop_thread, "the loop waits for the device"
            if disk.fails:
                raise DiskFault("the disk is broken")
            disk._warm(file, count, position)
            disk.warmed.append((file.path, position, position + count))

        real_pread = OsFile.pread
        monkeypatch.setattr(OsFile, "pread_nowait", pread_nowait)
        monkeypatch.setattr(OsFile, "pread", pread)
        monkeypatch.setattr(OsFile, "warm", warm)
        monkeypatch.setattr(
            OsFile, "resident", lambda file, count, at: is_warm(file.path, count, at)
        )


async def fill(rig: Rig, batches: int) -> bytes:
    """A topic of three segments, with nothing remembered of where its readers are."""
    await rig.create("t", segment_bytes=str(1 << 20), index_interval_bytes="6000")
    partition = rig.broker.partitions.get("t", 0)
    assert partition is not None
    data = b""
    for number in range(batches):
        batch = bytearray(build_batch([NewRecord(b"k%d" % number, b"v" * 5000, 1)]))
        partition.append_as_leader(batch, 1)
        data += batch
    for segment in partition.log.segments:
        segment.index.spill()
        if segment is not partition.log.active:
            partition.log._rolled(segment)
    partition.log._places.clear()
    return data


async def fetch(rig: Rig, offset: int, max_bytes: int) -> Any:
    """The one partition's answer."""
    endpoint = rig.broker.kafka_endpoints[0]
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    partition = {
        "partition": 0,
        "current_leader_epoch": -1,
        "fetch_offset": offset,
        "last_fetched_epoch": -1,
        "log_start_offset": -1,
        "partition_max_bytes": max_bytes,
    }
    request = {
        "replica_id": -1,
        "max_wait_ms": 100,
        "min_bytes": 1,
        "max_bytes": 1 << 30,
        "isolation_level": 0,
        "session_id": 0,
        "session_epoch": -1,
        "topics": [{"topic": "t", "partitions": [partition]}],
        "forgotten_topics_data": [],
        "rack_id": "",
    }
    writer.write(messages.write_request(FETCH, VERSION, 1, "test", request))
    size = int.from_bytes(await reader.readexactly(4), "big")
    answer = messages.read_response(FETCH, VERSION, memoryview(await reader.readexactly(size)))
    writer.close()
    await writer.wait_closed()
    return plain(answer)["responses"][0]["partitions"][0]


@pytest.mark.parametrize("max_bytes", [20_000, 100_000])
async def test_everything_is_read_and_the_loop_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int
) -> None:
    async with running(tmp_path) as rig:
        data = await fill(rig, 400)
        with monkeypatch.context() as patched:
            cold = ColdDisk(patched)
            got, offset = b"", 0
            while offset < 400:
                part = await fetch(rig, offset, max_bytes)
                assert part["error_code"] == 0
                records = bytes(part["records"])
                got += records
                offset += sum(1 for _ in split(records))
            assert got == data
            assert cold.warmed


async def test_a_disk_that_fails_is_said_by_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as rig:
        await fill(rig, 400)
        with monkeypatch.context() as patched:
            cold = ColdDisk(patched)
            cold.loop_thread = -1  # the last look waits on the loop, to meet the fault there
            cold.fails = True
            assert (await fetch(rig, 0, 20_000))["error_code"] == STORAGE_ERROR
