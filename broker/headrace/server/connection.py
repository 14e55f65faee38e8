"""One client connection: bytes in, frames to the dispatcher, answers out in request order.

Requests of a connection execute in order. An answer that must wait (a fetch for data, a join
for members) holds up what follows, except that a produce waiting for replicas or for the disk
does not hold up the next request (decision 3). Everything is bounded: frames by size before
their body is read, waiting requests by count and bytes, unsent answers by executing nothing
more, and reading nothing more, until the peer has read.

All connections of a listener read into one shared buffer, because the loop asks for the buffer
and reports what it holds in one breath: an idle connection owns no buffer, and a small frame is
executed where the kernel put it. A larger frame gets its own buffer and is read straight into it.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from headrace.base.invariant import invariant
from headrace.server.outgoing import Outgoing, Part
from headrace.wire.framing import ProtocolError

SCRATCH_BYTES = 256 * 1024
"""One read of the loop; also what decides whether a frame is read into its own buffer."""

_SIZE = struct.Struct(">i")
_SIZE_AND_KEY = struct.Struct(">ih")
_FRAME_BYTES_MIN = 8
_HEAD_BYTES = 8
"""Size, API key and version: enough to judge a frame before its body is read."""
_UNSENT_BYTES = 256 * 1024
"""Answers to requests of one read are sent together, but not more than this at a time: only the
socket knows that the peer does not read, and one read can hold thousands of requests."""
_FIRST_ALLOCATION_BYTES = 1 << 20
"""A frame's buffer grows with what arrives, so a size that lies costs its sender the bytes."""

Parts = bytes | list[Part]


class Answer:
    """A promised answer: its place in the order is taken, `resolve` fills it."""

    __slots__ = ("connection", "holds", "parts", "ready")

    def __init__(self, connection: "Connection", *, holds: bool) -> None:
        self.connection = connection
        self.holds = holds
        self.ready = False
        self.parts: Parts | None = None

    def resolve(self, parts: Parts | None) -> None:
        """Give the answer (None: this request gets none). Once only."""
        invariant(not self.ready, "an answer is given once")
        self.ready = True
        self.parts = parts
        self.connection.answered(self)

    def release(self) -> None:
        """It no longer holds up what follows; its place in the order stays."""
        self.holds = False
        self.connection.released()


Outcome = Parts | Answer | None
"""What executing a frame gives: the answer, a promise of it, or nothing to send."""


class Host(Protocol):
    """What a connection needs of its listener."""

    name: str
    scratch: memoryview
    small_frame_bytes: int
    """No API refuses a frame of up to this size."""
    descriptors: int
    """A descriptor with this number or a greater one is one too many."""
    requests_max: int
    queued_bytes_max: int

    def frame_bytes_max(self, api_key: int) -> int:
        """The largest frame accepted for that API."""
        ...

    def execute(self, connection: "Connection", frame: memoryview) -> Outcome:
        """Execute one frame (without its size). Raises ProtocolError for a peer's fault."""
        ...

    def opened(self, connection: "Connection") -> bool:
        """Whether one more connection of this peer is within bounds."""
        ...

    def closed(self, connection: "Connection", reason: str | None) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """See the module. `peer_host` and `last_active` (loop time) are for bounds and idling."""

    __slots__ = (
        "_answers",
        "_closes",
        "_closing",
        "_executing",
        "_filled",
        "_frame",
        "_frame_bytes",
        "_head",
        "_held",
        "_host",
        "_large_frames",
        "_muted",
        "_on_close",
        "_out",
        "_out_bytes",
        "_out_whole",
        "_outgoing",
        "_paused",
        "_queue",
        "_queued_bytes",
        "_reason",
        "descriptor",
        "last_active",
        "loop",
        "peer_host",
        "transport",
    )

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self.loop = loop
        self.last_active = loop.time()
        self.transport: asyncio.Transport | None = None
        self.descriptor = -1
        self.peer_host = ""
        self._on_close: Callable[[], None] | None = None
        self._head = b""
        self._frame: bytearray | None = None
        self._frame_bytes = 0
        self._filled = 0
        self._large_frames = False
        self._queue: deque[bytearray] = deque()
        self._queued_bytes = 0
        self._answers: deque[Answer] = deque()
        self._out: list[Part] = []
        self._out_bytes = 0
        self._out_whole = True  # only bytes so far, each an answer
        self._outgoing: Outgoing
        self._executing = False
        self._held = False
        self._paused = False
        self._muted = False
        self._closing = False
        self._closes = False
        self._reason: str | None = None

    # The loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        connected = transport.get_extra_info("socket")
        self.descriptor = connected.fileno()
        self._outgoing = Outgoing(
            self.loop,
            connected,
            descriptors=self._host.descriptors,
            drained=self._drained,
            lost=self._lost,
        )
        peer = transport.get_extra_info("peername")
        self.peer_host = str(peer[0]) if peer else ""
        if not self._host.opened(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._outgoing.close()
        self._queue.clear()
        self._answers.clear()
        if self._on_close is not None:
            self._on_close()
        self._host.closed(self, self._reason)

    def eof_received(self) -> bool:
        """A half-closed peer has nothing to ask any more: close, after what it was answered."""
        self.close()
        return True

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._frame is not None:
            if self._filled == len(self._frame):
                grown = min(2 * len(self._frame), self._frame_bytes)
                self._frame.extend(bytes(grown - len(self._frame)))
            return memoryview(self._frame)[self._filled :]
        scratch = self._host.scratch
        head = len(self._head)
        if head:
            scratch[:head] = self._head
        if self._large_frames:
            return scratch[head:_HEAD_BYTES]
        return scratch[head:]

    def buffer_updated(self, nbytes: int) -> None:
        self.last_active = self.loop.time()
        try:
            if self._frame is not None:
                self._filled += nbytes
                if self._filled == self._frame_bytes:
                    frame, self._frame = self._frame, None
                    self._accept(memoryview(frame))
            else:
                filled = len(self._head) + nbytes
                self._head = b""
                self._take_frames(self._host.scratch[:filled])
        except ProtocolError as fault:
            self.close(str(fault))
        if self._answers:
            self._drain()
        self._flush()
        self._regulate()

    # Frames.

    def _take_frames(self, data: memoryview) -> None:
        """Execute every whole frame in `data`; keep what is left of the last one."""
        position, filled = 0, len(data)
        small = self._host.small_frame_bytes
        while filled - position >= _HEAD_BYTES:
            size, api_key = _SIZE_AND_KEY.unpack_from(data, position)
            if not _FRAME_BYTES_MIN <= size <= small:
                self._check_size(size, api_key)
            end = position + 4 + size
            if end > filled:
                self._begin_frame(size, data[position + 4 :])
                return
            self._accept(data[position + 4 : end])
            position = end
            if self._closing:
                return
        self._large_frames = False
        self._head = bytes(data[position:])
        if len(self._head) >= 4:
            (size,) = _SIZE.unpack_from(self._head)
            if size < _FRAME_BYTES_MIN:
                self._check_size(size, 0)

    def _check_size(self, size: int, api_key: int) -> None:
        if size < _FRAME_BYTES_MIN:
            raise ProtocolError(f"a frame of {size} bytes cannot hold a request header")
        limit = self._host.frame_bytes_max(api_key)
        if size > limit:
            raise ProtocolError(
                f"a frame of {size} bytes for API key {api_key} is over the limit of {limit}"
            )

    def _begin_frame(self, size: int, start: memoryview) -> None:
        frame = bytearray(min(size, _FIRST_ALLOCATION_BYTES))
        frame[: len(start)] = start
        self._frame, self._frame_bytes, self._filled = frame, size, len(start)
        self._large_frames = size >= SCRATCH_BYTES // 4

    def _accept(self, frame: memoryview) -> None:
        if self._held or self._muted or self._queue or self._outgoing.waits:
            self._queue.append(bytearray(frame))
            self._queued_bytes += len(frame)
        else:
            self._execute(frame)

    def _execute(self, frame: memoryview) -> None:
        self._executing = True
        outcome = self._host.execute(self, frame)
        self._executing = False
        if isinstance(outcome, Answer):
            if outcome.ready and not self._answers:
                self._emit(outcome.parts)
            else:
                self._answers.append(outcome)
                self._held = outcome.holds and not outcome.ready
        elif outcome is not None:
            if self._answers:
                waiting = Answer(self, holds=False)
                waiting.parts, waiting.ready = outcome, True
                self._answers.append(waiting)
            else:
                self._emit(outcome)

    # Answers.

    def _emit(self, parts: Parts | None) -> None:
        if isinstance(parts, list):
            self._out += parts
            self._out_whole = False
            self._out_bytes += sum(map(len, parts))
        elif parts is not None:
            self._out.append(parts)
            self._out_bytes += len(parts)
        if self._out_bytes > _UNSENT_BYTES:
            self._flush()

    def waiting_on(self, cancel: Callable[[], None]) -> None:
        """Call `cancel` if the peer goes away: one held answer at a time waits for something."""
        self._on_close = cancel

    def answered(self, answer: Answer) -> None:
        """Called by `answer.resolve`, from inside an execution or later."""
        if self._executing or self.transport is None:
            return
        if answer.holds:
            self._held = False
        self._work()

    def released(self) -> None:
        """Called by `answer.release`: the next request may be executed."""
        self._held = False
        if self.transport is not None:
            self._work()

    def _work(self) -> None:
        """Send what is ready in order, execute what was waiting, read on if within bounds."""
        self._drain()
        try:
            while self._queue and not (self._closing or self._outgoing.waits):
                if self._held or self._muted:
                    break
                frame = self._queue.popleft()
                self._queued_bytes -= len(frame)
                self._execute(memoryview(frame))
        except ProtocolError as fault:
            self.close(str(fault))
        self._drain()
        self._flush()
        self._regulate()

    def _drain(self) -> None:
        answers = self._answers
        while answers and answers[0].ready:
            self._emit(answers.popleft().parts)

    def _flush(self) -> None:
        out = self._out
        if not out:
            return
        whole, self._out_whole = self._out_whole, True
        self._out, self._out_bytes = [], 0
        if self.transport is not None and not self.transport.is_closing():
            self._outgoing.send([b"".join(out)] if whole and len(out) > 1 else out)  # type: ignore[arg-type]

    def _drained(self) -> None:
        """The peer has read all it was owed."""
        self.last_active = self.loop.time()
        self._work()
        if self._closes:
            self.close()

    def _lost(self, reason: str | None) -> None:
        self._reason = self._reason or reason
        if self.transport is not None:
            self.transport.abort()

    def _regulate(self) -> None:
        """Stop reading while answers or requests pile up; start again when they have gone."""
        if self.transport is None or self.transport.is_closing():
            return
        full = (
            self._muted
            or self._outgoing.waits
            or len(self._queue) + len(self._answers) >= self._host.requests_max
            or self._queued_bytes >= self._host.queued_bytes_max
        )
        if full and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        elif self._paused and not full and not self._closing:
            self._paused = False
            self.transport.resume_reading()

    @property
    def listener(self) -> str:
        """The name of the listener it came in through."""
        return self._host.name

    def mute(self) -> None:
        """Read and execute nothing until `unmute`; what was executed is answered as ever."""
        self._muted = True
        if self.transport is not None and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def unmute(self) -> None:
        """Go on, unless the connection was closed meanwhile."""
        self._muted = False
        if self.transport is not None:
            self._work()

    def stop_reading(self) -> None:
        """Read and execute nothing more; what was executed is still answered."""
        self._closing = True
        if self.transport is not None and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    @property
    def owes_answers(self) -> bool:
        """Whether a produce was appended and waits to be committed."""
        return any(not answer.holds and not answer.ready for answer in self._answers)

    def close(self, reason: str | None = None) -> None:
        """Send what is ready, then close; `reason` is the one log line about it."""
        self.stop_reading()
        self._closes = True
        self._reason = self._reason or reason
        self._flush()
        if self.transport is not None and not self._outgoing.waits:
            self.transport.close()
