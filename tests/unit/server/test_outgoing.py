"""Bytes and ranges of files reach the peer in order, however slowly it reads."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from headrace.server.outgoing import _BYTES_A_TURN, Outgoing
from headrace.storage.disk import DiskFault
from headrace.storage.log import Slice
from headrace.storage.os_disk import OsDisk, OsFile
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = bytes(i * 31 % 251 for i in range(5 << 20))


class Cold(OsFile):
    """A file that is out of the page cache until a thread has read it."""

    __slots__ = ("cold", "fails", "warmed")

    def resident(self, count: int, position: int) -> bool:
        return not self.cold

    def warm(self, count: int, position: int) -> None:
        if self.fails:
            raise DiskFault("the disk is broken")
        self.warmed += 1
        super().warm(count, position)


class Line:
    """An Outgoing and the peer's end of its socket."""

    def __init__(self, folder: Path, descriptors: int = sys.maxsize) -> None:
        path = str(folder / "00.log")
        with open(path, "wb") as file:
            file.write(DATA)
        opened = OsDisk().open(path)
        self.file = Cold(path, opened._fd, opened.size)
        opened._fd = -1
        self.file.cold, self.file.fails, self.file.warmed = False, False, 0
        self.ours, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.drained = asyncio.Event()
        self.lost: list[str | None] = []
        self.outgoing = Outgoing(
            asyncio.get_running_loop(),
            self.ours,
            descriptors=descriptors,
            drained=self.drained.set,
            lost=self.lost.append,
        )

    async def read(self, count: int, *, at_a_time: int = 1 << 20) -> bytes:
        """Exactly so many bytes at the peer."""
        loop, got = asyncio.get_running_loop(), bytearray()
        while len(got) < count:
            data = await loop.sock_recv(self.peer, min(at_a_time, count - len(got)))
            assert data, "the line was cut"
            got += data
        return bytes(got)

    def range(self, position: int, count: int) -> Slice:
        return Slice(self.file, position, count)

    def close(self) -> None:
        self.outgoing.close()
        self.ours.close()
        self.peer.close()
        self.file.close()


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    line = Line(tmp_path)
    yield line
    line.close()


def bytes_of(part: Any) -> bytes:
    if isinstance(part, Slice):
        return DATA[part.position : part.position + part.count]
    return bytes(part)


SIZES = st.integers(1, 600_000)


@settings(max_examples=25, deadline=None)
@given(
    answers=st.lists(
        st.lists(st.one_of(SIZES, st.tuples(st.integers(0, 4_000_000), SIZES)), min_size=1),
        min_size=1,
        max_size=5,
    ),
    at_a_time=st.integers(1000, 1 << 20),
    cold=st.booleans(),
)
def test_everything_arrives_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, answers: list[list[Any]], at_a_time: int, cold: bool
) -> None:
    async def play() -> None:
        line = Line(tmp_path_factory.mktemp("line"))
        line.file.cold = cold
        try:
            wanted = b""
            for answer in answers:
                parts = [
                    line.range(*part) if isinstance(part, tuple) else DATA[:part] for part in answer
                ]
                wanted += b"".join(map(bytes_of, parts))
                line.outgoing.send(parts)
            waited = line.outgoing.waits
            assert await line.read(len(wanted), at_a_time=at_a_time) == wanted
            if waited:
                await line.drained.wait()
            assert not line.outgoing.waits
            assert not line.lost
        finally:
            line.close()

    asyncio.run(play())


async def test_a_long_answer_leaves_the_loop_to_others(line: Line) -> None:
    line.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    parts = [line.range(0, len(DATA)), b"end"]
    line.outgoing.send(parts)
    assert line.outgoing.waits
    assert await line.read(len(DATA) + 3) == DATA + b"end"
    assert len(DATA) > _BYTES_A_TURN


async def test_what_left_the_page_cache_is_read_by_a_thread(line: Line) -> None:
    line.outgoing.send([line.range(0, len(DATA))])
    line.file.cold = True
    assert line.outgoing.waits
    assert await line.read(len(DATA)) == DATA
    assert line.file.warmed


async def test_a_disk_that_fails_ends_the_connection_and_says_why(line: Line) -> None:
    line.outgoing.send([line.range(0, len(DATA))])
    line.file.cold = line.file.fails = True
    while not line.lost:
        try:
            line.peer.recv(1 << 20)
        except BlockingIOError:
            await asyncio.sleep(0)
    assert line.lost == ["an answer could not be sent: the disk is broken"]
    line.outgoing.send([b"more"])
    assert len(line.lost) == 1


async def test_a_file_that_was_cut_ends_the_connection(line: Line) -> None:
    line.outgoing.send([line.range(len(DATA), 10)])
    assert line.lost
    assert "it was cut meanwhile" in str(line.lost[0])


async def test_a_peer_that_went_away_is_nothing_to_speak_of(line: Line) -> None:
    line.peer.close()
    line.outgoing.send([b"answer"])
    assert line.lost == [None]


async def test_a_slow_reader_takes_no_descriptor_that_logs_need(tmp_path: Path) -> None:
    line = Line(tmp_path, descriptors=0)
    try:
        line.outgoing.send([DATA])
        assert not line.outgoing.waits
        assert "limit of open files" in str(line.lost[0])
    finally:
        line.close()
