"""Answers on their way to one peer: bytes, and ranges of files that never enter this process.

They go out on the transport's descriptor, of which the transport only reads: at once as far as
the socket takes them, the rest when the loop says that it takes more. What a slow peer has not
read yet stays in the page cache or on the device, so a thousand of them cost no memory. A range
that left the cache meanwhile is read by a thread first.
"""

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import Any, Final

from headrace.storage.disk import DiskFault
from headrace.storage.log import Slice

Part = bytes | bytearray | memoryview | Slice

_BYTES_A_TURN: Final = 2 * 1024 * 1024
"""About half a millisecond of sendfile; then the loop has its turn."""
_WARM_BYTES: Final = 1024 * 1024
"""What a thread reads ahead for a peer that was slow; it may be slow again."""
_BUFFERS_MAX: Final = 512
"""Half of IOV_MAX."""


class Outgoing:
    """In order of `send`. `drained` is called once everything left after it had to wait,
    `lost(reason)` where the socket or a file fails; then nothing more is sent.

    A second descriptor, which waiting takes, is one below `descriptors` or the peer is lost: slow
    readers must not take those that logs need.

    `close` comes with the transport's connection_lost, before the transport closes the descriptor.
    """

    __slots__ = (
        "_descriptors",
        "_drained",
        "_loop",
        "_lost",
        "_parts",
        "_resumed",
        "_socket",
        "_watched",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connected: socket.socket,
        *,
        descriptors: int,
        drained: Callable[[], None],
        lost: Callable[[str | None], None],
    ) -> None:
        self._loop, self._drained, self._lost = loop, drained, lost
        self._descriptors = descriptors
        self._socket = socket.socket(
            connected.family, connected.type, connected.proto, connected.fileno()
        )
        self._socket.setblocking(False)
        self._parts: deque[Part] = deque()
        self._watched = -1  # a dup: the loop refuses to watch a transport's own descriptor
        self._resumed = False

    @property
    def waits(self) -> bool:
        """Whether something is left that the peer has not made room for."""
        return bool(self._parts)

    def send(self, parts: Sequence[Part]) -> None:
        """Send these after all before them. HOT."""
        if not self._parts and len(parts) == 1 and not isinstance(only := parts[0], Slice):
            try:
                sent = self._socket.send(only, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._fail(error)
                return
            if sent == len(only):
                return
            parts = [memoryview(only)[sent:]]
        waits = self.waits
        self._parts.extend(parts)
        if not waits:
            self._go_on()

    def close(self) -> None:
        """Let go of the descriptor; what was not sent is forgotten. Idempotent."""
        self._parts.clear()
        self._ignore()
        self._socket.detach()

    def _watch(self) -> None:
        """Have `_writable` called whenever the socket takes more. Raises OSError."""
        if self._watched < 0:
            watched = os.dup(self._socket.fileno())
            if watched >= self._descriptors:
                os.close(watched)
                raise OSError(errno.EMFILE, "too many slow readers for the limit of open files")
            self._watched = watched
            self._loop.add_writer(self._watched, self._writable)

    def _ignore(self) -> None:
        if self._watched >= 0:
            self._loop.remove_writer(self._watched)
            os.close(self._watched)
            self._watched = -1

    def _writable(self) -> None:
        self._resumed = True
        self._resume()

    def _resume(self) -> None:
        self._go_on()
        if not self._parts and self._socket.fileno() >= 0:
            self._resumed = False
            self._ignore()
            self._drained()

    def _go_on(self) -> None:
        """Send until all is sent, the socket is full, or it is somebody else's turn."""
        try:
            try:
                if not self._send_some():
                    return
            except BlockingIOError:
                pass
            if self._parts:
                self._watch()
        except (OSError, DiskFault) as fault:
            self._fail(fault)

    def _send_some(self) -> bool:
        """False where a thread reads first. Raises BlockingIOError where the socket is full."""
        left = _BYTES_A_TURN
        while self._parts and left > 0:
            first = self._parts[0]
            if not isinstance(first, Slice):
                left -= self._send_bytes()
            elif self._resumed and not first.file.resident(first.count, first.position):
                self._read_ahead(first)
                return False
            else:
                left -= self._send_range(first, left)
        return True

    def _send_bytes(self) -> int:
        parts = self._parts
        run: list[Any] = [*takewhile(_in_memory, islice(parts, _BUFFERS_MAX))]
        flags = socket.MSG_NOSIGNAL | (socket.MSG_MORE if len(run) < len(parts) else 0)
        sent = left = self._socket.sendmsg(run, (), flags)
        for part in run:
            if left < len(part):
                parts[0] = memoryview(part)[left:]
                break
            left -= len(part)
            parts.popleft()
        return sent

    def _send_range(self, piece: Slice, most: int) -> int:
        count = min(piece.count, most)
        sent = os.sendfile(self._socket.fileno(), piece.file.fileno(), piece.position, count)
        if not sent:
            raise DiskFault(f"{piece.file.path} ends before {piece.position}: it was cut meanwhile")
        if sent == piece.count:
            self._parts.popleft()
        else:
            self._parts[0] = Slice(piece.file, piece.position + sent, piece.count - sent)
        return sent

    def _read_ahead(self, piece: Slice) -> None:
        """A thread brings what comes next into the page cache."""
        self._ignore()
        count = min(piece.count, _WARM_BYTES)
        reading = self._loop.run_in_executor(None, piece.file.warm, count, piece.position)
        reading.add_done_callback(self._read)

    def _read(self, done: "asyncio.Future[None]") -> None:
        fault = done.exception()
        if self._socket.fileno() < 0:
            return
        if isinstance(fault, DiskFault):
            self._fail(fault)
        elif fault is not None:
            raise fault
        else:
            self._resumed = False  # Read a moment ago: asking again could read for ever.
            self._resume()

    def _fail(self, fault: OSError | DiskFault) -> None:
        """A peer that went away is nothing to speak of; a disk is."""
        if self._socket.fileno() < 0:
            return
        self.close()
        peer_gone = isinstance(fault, ConnectionError | TimeoutError)
        self._lost(None if peer_gone else f"an answer could not be sent: {fault}")


def _in_memory(part: Part) -> bool:
    return not isinstance(part, Slice)
