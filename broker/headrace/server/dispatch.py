"""From a frame to its handler, and from what the handler gives to an answer.

Produce, Fetch and Metadata read and write their frames by hand (`FRAME_HANDLERS`). Every other
API is decoded by kio, handled as values, and encoded by kio. A handler may be a coroutine; the
connection then waits for it, others go on.

Skipped: a request that no client sends (a negative byte limit, an isolation level that is none,
null where it has no meaning) is answered with an error that says so, or with sense; Kafka fails
inside, with UNKNOWN_SERVER_ERROR or no answer.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from headrace.base.errors import Code
from headrace.base.invariant import Bug
from headrace.server import crash
from headrace.server.connection import Answer, Connection, Outcome
from headrace.server.loop_time import LoopTime
from headrace.wire import messages
from headrace.wire.framing import ProtocolError, RequestHeader, read_header
from headrace.wire.versions import API_VERSIONS, APIS, ENVELOPE, PRODUCE

if TYPE_CHECKING:
    from headrace.server.broker import Broker

log = structlog.get_logger("headrace.dispatch")

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who asks, in which version, through which listener."""

    api_version: int
    client_id: str | None
    listener: str
    peer_host: str
    principal: str = "User:ANONYMOUS"
    forwarded: bool = False
    """Asked of another broker, which sent it on to the controller."""


class Dispatcher:
    """One for all listeners of a broker."""

    def __init__(self, broker: "Broker") -> None:
        # The table of handlers imports every API; it is made once the broker exists.
        from headrace.server.apis import FRAME_HANDLERS, HANDLERS

        self._broker = broker
        self._frame_handlers = FRAME_HANDLERS
        self._handlers = HANDLERS
        self._requests = broker.requests
        self.quotas = broker.quotas
        self._tasks: set[asyncio.Task[None]] = set()

    def execute(self, connection: Connection, frame: memoryview, listener: str) -> Outcome:
        """Execute one request. Raises ProtocolError where the peer broke the protocol."""
        header = read_header(frame)
        key, version = header.api_key, header.api_version
        api = APIS.get(key)
        if api is None or not api.serves(version):
            if key == API_VERSIONS:
                return _unsupported_api_versions(header)
            # Produce v0-v2 are advertised (KAFKA-18659) and answered with an error of their own.
            if api is None or key != PRODUCE or not 0 <= version < api.served_from:
                raise _not_served(header)
        if key == ENVELOPE and not self._broker.forwarding.serves(listener):
            raise _not_served(header)
        self._requests.count(key)
        if self.quotas.active:
            self.quotas.begin()
        frame_handler = self._frame_handlers.get(key)
        if frame_handler is not None:
            try:
                return frame_handler(self._broker, connection, header, frame)
            except Exception as fault:
                self._fault(connection, header, fault)
                return None
            except Bug as bug:
                crash.now(bug)  # uvloop would only close the connection.
        request = messages.read_request(key, version, frame, header.body)
        context = RequestContext(version, header.client_id, listener, connection.peer_host)
        try:
            outcome = self._handlers[key](self._broker, request, context)
        except Exception as bug:
            self._fault(connection, header, bug)
            return None
        if isinstance(outcome, Mapping):
            return self._encode(connection, header, outcome)
        answer = Answer(connection, holds=True)
        self._keep(self._await(connection, header, outcome, answer))
        return answer

    async def _await(
        self,
        connection: Connection,
        header: RequestHeader,
        handling: Coroutine[Any, Any, Fields],
        answer: Answer,
    ) -> None:
        parts: bytes | None = None
        try:
            if self.quotas.active:
                timed = LoopTime(handling)
                fields = await timed
                parts = self._encode(connection, header, fields, timed.spent_ns)
            else:
                parts = self._encode(connection, header, await handling)
        except Exception as bug:
            self._fault(connection, header, bug)
        except Bug as bug:
            crash.now(bug)
        answer.resolve(parts)

    def later(
        self,
        connection: Connection,
        header: RequestHeader,
        work: Coroutine[Any, Any, None],
        answer: Answer,
    ) -> None:
        """Do `work`, which resolves `answer`, for a frame handler that has to wait."""

        async def run() -> None:
            try:
                await work
            except Exception as fault:
                self._fault(connection, header, fault)
                if not answer.ready:
                    answer.resolve(None)
            except Bug as bug:
                crash.now(bug)

        self._keep(run())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _encode(
        self,
        connection: Connection,
        header: RequestHeader,
        fields: Fields,
        spent_ns: int | None = None,
    ) -> bytes | None:
        if self.quotas.active and header.api_key != ENVELOPE:  # Brokers are no clients.
            wait_ms = self.quotas.answered(connection, header.client_id, fields, spent_ns)
            if wait_ms and messages.tells_throttle_time(header.api_key, header.api_version):
                fields = {**fields, "throttle_time_ms": wait_ms}
        error = fields.get("error_code", 0)
        if error:
            self._requests.count_error(header.api_key, int(error))
        try:
            return messages.write_response(
                header.api_key, header.api_version, header.correlation_id, fields
            )
        except Bug as bug:
            # An answer that cannot be written harms nobody but its peer: no state is wrong.
            self._fault(connection, header, bug)
            return None

    def _fault(self, connection: Connection, header: RequestHeader, bug: BaseException) -> None:
        """A bug in one request costs its peer the connection, and us a loud line.

        A handler may also find that the peer broke the protocol: that is no bug of ours.
        """
        if isinstance(bug, ProtocolError):
            connection.close(str(bug))
            return
        self._requests.count_error(header.api_key, int(Code.UNKNOWN_SERVER_ERROR))
        log.error(
            "a request failed on a bug of ours; its connection is closed",
            api=APIS[header.api_key].name,
            version=header.api_version,
            client_id=header.client_id,
            exc_info=bug,
        )
        connection.close()

    async def close(self) -> None:
        """End what is still being handled."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _not_served(header: RequestHeader) -> ProtocolError:
    return ProtocolError(
        f"API key {header.api_key} version {header.api_version} is not served here"
    )


def _unsupported_api_versions(header: RequestHeader) -> bytes:
    """A version we do not know is answered in version 0, naming what we do (KIP-511)."""
    api = APIS[API_VERSIONS]
    fields = {
        "error_code": Code.UNSUPPORTED_VERSION,
        "api_keys": [
            {"api_key": api.key, "min_version": api.advertised_from, "max_version": api.max_version}
        ],
    }
    return messages.write_response(API_VERSIONS, 0, header.correlation_id, fields)
