"""One broker as a sequence sees it: requests out over raw sockets, decoded answers recorded.

A sequence is a function of a `Peer`. Everything it asks is written down as (label, tree), and
the same function is played to Kafka and to Headrace, so the two records can be compared.
"""

import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.wire.framing import ProtocolError
from headrace.wire.messages import read_response, write_request
from kio.schema.index import api_key_map

from e2e.compat.differential.tree import Tree, to_tree

API_KEYS = {name: key for key, name in api_key_map.items()}
ANSWER_TIMEOUT_S = 8.0
SETTLE_TIMEOUT_S = 10.0
SETTLE_PAUSE_S = 0.02
CLIENT_ID = "compat"
SIZE = struct.Struct(">i")

CLOSED = "connection closed"
SILENT = "no answer"


class Closed(Exception):
    """The broker closed the connection where an answer was expected."""


class Connection:
    """One socket; answers are read in the order of the requests."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=ANSWER_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._next = 0

    def send(self, api: str, version: int, fields: Mapping[str, Any]) -> int:
        """Send one request; returns its correlation id."""
        self._next += 1
        self.send_bytes(write_request(API_KEYS[api], version, self._next, CLIENT_ID, fields))
        return self._next

    def send_bytes(self, frame: bytes) -> None:
        """Send bytes as they are; a broker that hung up is noticed by the next read."""
        try:
            self._socket.sendall(frame)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self) -> bytes:
        """The next frame without its size. Raises Closed, or TimeoutError after 8 s."""
        (size,) = SIZE.unpack(self._exactly(SIZE.size))
        return self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        held = bytearray()
        while len(held) < count:
            try:
                chunk = self._socket.recv(count - len(held))
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise Closed
            held += chunk
        return bytes(held)

    def close(self) -> None:
        self._socket.close()


@dataclass(slots=True)
class Pending:
    """A request that was sent and whose answer is not yet read."""

    peer: "Peer"
    connection: Connection
    api: str
    version: int
    correlation_id: int
    label: str

    def answer(self) -> Any:
        """The decoded answer (a kio entity, or None where the connection was closed), recorded."""
        entity, tree = self.peer.read(self)
        self.peer.record.append((self.label, tree))
        return entity


@dataclass(slots=True)
class Peer:
    """A broker during one sequence. Mutable: it gathers the record of what was answered."""

    host: str
    port: int
    prefix: str
    record: list[tuple[str, Tree]] = field(default_factory=list)
    _connections: dict[str, Connection] = field(default_factory=dict)

    def connection(self, name: str = "main") -> Connection:
        """The connection of that name, opened on first use."""
        if name not in self._connections:
            self._connections[name] = Connection(self.host, self.port)
        return self._connections[name]

    def drop(self, name: str = "main") -> None:
        """Close the connection of that name; the next use opens a new one."""
        if held := self._connections.pop(name, None):
            held.close()

    def close(self) -> None:
        for name in list(self._connections):
            self.drop(name)

    def name(self, suffix: str) -> str:
        """A topic or group name that no other sequence uses."""
        return f"{self.prefix}-{suffix}"

    def begin(self, api: str, version: int, *, on: str = "main", **fields: Any) -> Pending:
        """Send a request and do not wait for its answer."""
        connection = self.connection(on)
        correlation_id = connection.send(api, version, fields)
        label = f"{len(self.record)} {api} v{version}" + ("" if on == "main" else f" on {on}")
        return Pending(self, connection, api, version, correlation_id, label)

    def ask(self, api: str, version: int, *, on: str = "main", **fields: Any) -> Any:
        """Send a request, record and return its answer."""
        return self.begin(api, version, on=on, **fields).answer()

    def quietly(self, api: str, version: int, *, on: str = "main", **fields: Any) -> Any:
        """As `ask`, but not recorded: for preparing and waiting."""
        return self.read(self.begin(api, version, on=on, **fields))[0]

    def until(
        self,
        done: Callable[[Any], bool],
        api: str,
        version: int,
        *,
        on: str = "main",
        **fields: Any,
    ) -> Any:
        """Ask until `done(answer)` or 10 s have passed, and record the last answer.

        For what Kafka applies a moment after it has answered (its metadata log is asynchronous).
        """
        limit = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            pending = self.begin(api, version, on=on, **fields)
            entity, tree = self.read(pending)
            if entity is None or done(entity) or time.monotonic() > limit:
                self.record.append((pending.label, tree))
                return entity
            time.sleep(SETTLE_PAUSE_S)

    def settle(self, done: Callable[[Any], bool], api: str, version: int, **fields: Any) -> Any:
        """As `until`, but not recorded."""
        entity = self.until(done, api, version, **fields)
        self.record.pop()
        return entity

    def read(self, pending: Pending) -> tuple[Any, Tree]:
        """The answer to a request as an entity and as a tree."""
        try:
            frame = pending.connection.receive()
        except Closed:
            self._forget(pending.connection)
            return None, CLOSED
        except TimeoutError:
            self._forget(pending.connection)
            return None, SILENT
        got = SIZE.unpack_from(frame)[0]
        if got != pending.correlation_id:
            return None, f"answer to another request ({got - pending.correlation_id:+d})"
        try:
            entity = read_response(API_KEYS[pending.api], pending.version, memoryview(frame))
        except ProtocolError as error:
            return None, f"not decodable: {error}"
        return entity, to_tree(entity, pending.api)

    def note(self, label: str, value: Tree) -> None:
        """Record something that was seen in another way than by one answer."""
        self.record.append((f"{len(self.record)} {label}", value))

    def _forget(self, connection: Connection) -> None:
        for name, held in list(self._connections.items()):
            if held is connection:
                self.drop(name)
