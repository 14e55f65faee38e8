"""A listening socket, and the bounds of the connections that came in through it.

Skipped: a request other than Produce may have 2 MiB (request.control.max.bytes), or its connection
is closed; in Kafka socket.request.max.bytes, 100 MiB, is the one bound.
"""

import asyncio
from collections import Counter

import structlog

from headrace.config.broker import BrokerSettings
from headrace.server import descriptors
from headrace.server.connection import SCRATCH_BYTES, Connection, Outcome
from headrace.server.dispatch import Dispatcher
from headrace.wire.versions import ENVELOPE, PRODUCE

log = structlog.get_logger("headrace.listener")

_IDLE_SWEEP_S = 30.0
_ENVELOPE_BYTES = 64 * 1024
"""What an envelope adds to the request in it: the caller, with a client id of up to 32 KiB."""


class Listener:
    """One advertised address. All its connections share one receive buffer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        settings: BrokerSettings,
        dispatcher: Dispatcher,
    ) -> None:
        self.name = name
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self.small_frame_bytes = min(
            settings.request_control_max_bytes, settings.socket_request_max_bytes
        )
        self.requests_max = settings.connection_requests_in_flight_max
        self.queued_bytes_max = settings.connection_bytes_in_flight_max
        self._loop = loop
        self._settings = settings
        self._dispatcher = dispatcher
        self._server: asyncio.AbstractServer | None = None
        self._per_host: Counter[str] = Counter()
        self.descriptors = descriptors.for_connections()
        self._idle_sweep: asyncio.TimerHandle | None = None
        self.connections: set[Connection] = set()

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port (a free one where 0 was asked). Raises OSError."""
        self._server = await self._loop.create_server(
            lambda: Connection(self, self._loop),
            host,
            port,
            backlog=self._settings.socket_listen_backlog_size,
            reuse_address=True,
        )
        self._idle_sweep = self._loop.call_later(_IDLE_SWEEP_S, self._close_idle)
        sockets = self._server.sockets
        return int(sockets[0].getsockname()[1])

    def configure(self, settings: BrokerSettings) -> None:
        """Apply changed settings to connections from now on."""
        self._settings = settings

    def frame_bytes_max(self, api_key: int) -> int:
        """Produce carries data; every other request has no reason to be large (decision 18)."""
        if api_key == PRODUCE:
            return self._settings.socket_request_max_bytes
        if api_key == ENVELOPE:
            return self._settings.request_control_max_bytes + _ENVELOPE_BYTES
        return self._settings.request_control_max_bytes

    def execute(self, connection: Connection, frame: memoryview) -> Outcome:
        return self._dispatcher.execute(connection, frame, self.name)

    def opened(self, connection: Connection) -> bool:
        """Count a connection in; False where it is over a bound."""
        host = connection.peer_host
        settings = self._settings
        self.connections.add(connection)
        self._per_host[host] += 1
        quotas = self._dispatcher.quotas
        if quotas.connection.enforced:
            wait_ms = quotas.connecting(self.name, host)
            if wait_ms:
                connection.mute()
                # uvloop begins to read after this, whatever it was told before.
                self._loop.call_soon(connection.mute)
                self._loop.call_later(wait_ms / 1000, connection.close)
                return True
        if len(self.connections) > settings.max_connections:
            log.warning("connection refused: max.connections is reached", peer=host)
            return False
        if connection.descriptor >= self.descriptors:
            log.warning("connection refused: raise the limit of open files", peer=host)
            return False
        if self._per_host[host] > settings.max_connections_per_ip:
            log.warning("connection refused: max.connections.per.ip is reached", peer=host)
            return False
        return True

    def closed(self, connection: Connection, reason: str | None) -> None:
        """Count a connection out, with one line where it was the peer's fault."""
        self.connections.discard(connection)
        host = connection.peer_host
        self._per_host[host] -= 1
        if not self._per_host[host]:
            del self._per_host[host]
        if reason is not None:
            log.info("connection closed", listener=self.name, peer=host, reason=reason)

    def _close_idle(self) -> None:
        """Half-open peers and those that stopped reading go with connections.max.idle.ms."""
        max_idle_ms = self._settings.connections_max_idle_ms
        oldest = self._loop.time() - max_idle_ms / 1000
        for connection in tuple(self.connections if max_idle_ms >= 0 else ()):
            if connection.last_active < oldest and connection.transport is not None:
                connection.transport.abort()
        self._idle_sweep = self._loop.call_later(_IDLE_SWEEP_S, self._close_idle)

    def stop_reading(self) -> None:
        """Take no more requests; those that were taken are still answered."""
        for connection in self.connections:
            connection.stop_reading()

    def owes_answers(self) -> bool:
        """Whether a connection has appended something that it has not answered yet."""
        return any(connection.owes_answers for connection in self.connections)

    def stop_accepting(self) -> None:
        """Take no new connections; those that are open go on."""
        if self._server is not None:
            self._server.close()
        if self._idle_sweep is not None:
            self._idle_sweep.cancel()

    def close(self) -> None:
        """Close every connection after what it has been answered."""
        self.stop_accepting()
        for connection in tuple(self.connections):
            connection.close()
