"""Standard input and output for streams: chunks of whole lines in, bytes out."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

STDIN: Final = 0
STDOUT: Final = 1

_READ_BYTES: Final = 128 * 1024
"""Half of a producer's batch: large enough that the loop around it costs nothing."""
_PIPE_BYTES: Final = 1024 * 1024
_PARTS_MAX: Final = 512  # IOV_MAX is 1024
_SET_PIPE_SIZE: Final = 1031  # F_SETPIPE_SZ of Linux, which the module lacks before 3.10


class Lines(NamedTuple):
    """Whole lines without their ends. `terminated` is false for a last line without one."""

    lines: list[bytes]
    terminated: bool


async def read_lines(line_bytes_max: int) -> AsyncIterator[Lines]:
    """The lines of standard input as they come. Raises ValueError for one that is too long."""
    rest = b""
    async for data in _read_chunks():
        lines = (rest + data).split(b"\n") if rest else data.split(b"\n")
        rest = lines.pop()
        if len(rest) > line_bytes_max:
            raise ValueError(f"it has more than {line_bytes_max} bytes")
        if lines:
            yield Lines(lines, True)
    if rest:
        yield Lines([rest], False)


async def _read_chunks() -> AsyncIterator[bytes]:
    """Pipes and terminals wait in the event loop; files, which epoll refuses, are just read."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(STDIN, _SET_PIPE_SIZE, _PIPE_BYTES)
    while True:
        await _readable()
        try:
            data = os.read(STDIN, _READ_BYTES)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard input") from None
        if not data:
            return
        yield data


async def _readable() -> None:
    """Return when one read will not block.

    The watch ends before anything is read: one that goes on could announce the same bytes twice,
    and the second read would stop the loop. (Standard input stays in blocking mode, because that
    is a property it shares with other processes.)
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def announce() -> None:
        loop.remove_reader(STDIN)
        ready.set_result(None)

    try:
        loop.add_reader(STDIN, announce)
    except PermissionError:
        await asyncio.sleep(0)  # a file: the producer's tasks have their turn
        return
    try:
        await ready
    finally:
        loop.remove_reader(STDIN)


def write_all(parts: Sequence[bytes]) -> None:
    """To standard output, without joining, waiting for its reader. Raises BrokenPipeError."""
    for first in range(0, len(parts), _PARTS_MAX):
        some = parts[first : first + _PARTS_MAX]
        written = os.writev(STDOUT, some)
        if written < sum(map(len, some)):
            rest = memoryview(b"".join(some))[written:]
            while rest:
                rest = rest[os.write(STDOUT, rest) :]
