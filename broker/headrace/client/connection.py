"""One TCP connection to a broker: pipelined requests, answered in the order they were sent.

A request that times out closes the connection, because its answer would come before those of
the requests behind it and nobody would be left to take it (Kafka's own client does the same).
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self, cast

from headrace.base.errors import Code
from headrace.client.address import Address
from headrace.client.errors import (
    ConnectionLost,
    Incompatible,
    RequestTimedOut,
    Unreachable,
    check,
)
from headrace.wire import messages
from headrace.wire.versions import API_VERSIONS, APIS

MAX_RESPONSE_BYTES: Final = 256 * 1024 * 1024
"""Far above any fetch we ask for; below it a garbled size would make us wait for ever."""


class _Waiting(NamedTuple):
    correlation_id: int
    answer: asyncio.Future[memoryview]


class Connection(asyncio.Protocol):
    """Make one with `Connection.open`. Not for several event loops or threads."""

    def __init__(self, address: Address, client_id: str) -> None:
        self.address = address
        self._client_id = client_id
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: deque[_Waiting] = deque()
        self._next_correlation_id = 0
        self._lost: ConnectionLost | None = None
        self._ranges: dict[int, tuple[int, int]] = {}

    @classmethod
    async def open(cls, address: Address, *, client_id: str, timeout_ms: int) -> Self:
        """Connect and learn the broker's versions. Raises Unreachable, RequestTimedOut."""
        connection = cls(address, client_id)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await loop.create_connection(lambda: connection, address.host, address.port)
        except TimeoutError:
            raise Unreachable(f"No answer from {address} within {timeout_ms} ms") from None
        except OSError as error:
            raise Unreachable(f"No broker at {address}: {_in_words(error)}") from None
        except UnicodeError:
            raise Unreachable(f"No broker at {address}: that cannot be a host's name") from None
        try:
            await connection._learn_versions(timeout_ms)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def closed(self) -> bool:
        return self._lost is not None

    def version(self, api_key: int, version_max: int | None = None) -> int:
        """The newest version of `api_key` that both sides speak. Raises Incompatible.

        `version_max` is for callers that want an older form.
        """
        ours = APIS[api_key]
        theirs = self._ranges.get(api_key)
        if theirs is None:
            raise Incompatible(f"The broker at {self.address} does not take {ours.name} requests")
        if theirs[0] > ours.max_version or theirs[1] < ours.served_from:
            raise Incompatible(
                f"The broker at {self.address} takes {ours.name} requests of versions {theirs[0]}"
                f" to {theirs[1]}, and this client speaks {ours.served_from} to {ours.max_version}"
            )
        newest = min(ours.max_version, theirs[1])
        return newest if version_max is None else min(newest, version_max)

    async def request(
        self,
        api_key: int,
        fields: Mapping[str, Any],
        *,
        version_max: int | None = None,
        timeout_ms: int = 30_000,
    ) -> Any:
        """Send one request and return the kio entity of its answer."""
        chosen = self.version(api_key, version_max)
        answer = self.send(api_key, chosen, fields)
        return messages.read_response(
            api_key, chosen, await self.await_answer(answer, api_key, timeout_ms)
        )

    def send(
        self, api_key: int, version: int, fields: Mapping[str, Any], *, answered: bool = True
    ) -> asyncio.Future[memoryview]:
        """Put a request on the wire; the future has the answer's frame without its size.

        `answered=False` is for Produce with acks=0, which a broker does not answer.
        """
        if self._lost is not None or self._transport is None:
            raise self._lost or ConnectionLost(f"Not connected to {self.address}")
        correlation_id = self._next_correlation_id
        self._next_correlation_id = (correlation_id + 1) & 0x7FFFFFFF
        self._transport.write(
            messages.write_request(api_key, version, correlation_id, self._client_id, fields)
        )
        answer: asyncio.Future[memoryview] = asyncio.get_running_loop().create_future()
        if answered:
            self._waiting.append(_Waiting(correlation_id, answer))
        else:
            answer.set_result(memoryview(b""))
        return answer

    async def await_answer(
        self, answer: asyncio.Future[memoryview], api_key: int, timeout_ms: int
    ) -> memoryview:
        """The answer's frame. Raises ConnectionLost, RequestTimedOut (and closes)."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await answer
        except TimeoutError:
            self.close()
            raise RequestTimedOut(
                f"No answer from {self.address} to {APIS[api_key].name}"
                f" within {timeout_ms} ms: it may be overloaded or stopped"
            ) from None

    def close(self) -> None:
        """Close now; requests that still wait fail with ConnectionLost."""
        self._fail(ConnectionLost(f"The connection to {self.address} was closed"))
        if self._transport is not None:
            self._transport.abort()

    async def _learn_versions(self, timeout_ms: int) -> None:
        fields = {"client_software_name": "headrace", "client_software_version": "0.1.0"}
        version = APIS[API_VERSIONS].max_version
        while True:
            frame = await self.await_answer(
                self.send(API_VERSIONS, version, fields), API_VERSIONS, timeout_ms
            )
            # A broker that does not know our version answers in version 0 (KIP-35).
            unknown = int.from_bytes(frame[4:6], "big", signed=True) == Code.UNSUPPORTED_VERSION
            answer = messages.read_response(API_VERSIONS, 0 if unknown else version, frame)
            if not unknown or version == 0:
                break
            version = 0
        check(answer.error_code, f"Asking {self.address} for its versions")
        self._ranges = {k.api_key: (k.min_version, k.max_version) for k in answer.api_keys}

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= 4:
            size = int.from_bytes(buffer[position : position + 4], "big")
            if not 4 <= size <= MAX_RESPONSE_BYTES:
                self._garbled(f"an answer of {size} bytes")
                return
            end = position + 4 + size
            if len(buffer) < end:
                break
            self._answered(bytes(memoryview(buffer)[position + 4 : end]))
            position = end
        if position:
            del buffer[:position]

    def connection_lost(self, error: Exception | None) -> None:
        why = f": {_in_words(error)}" if isinstance(error, OSError) else " by the broker"
        self._fail(ConnectionLost(f"The connection to {self.address} was closed{why}"))

    def _answered(self, frame: bytes) -> None:
        if not self._waiting:
            self._garbled("an answer to no request")
            return
        waiting = self._waiting.popleft()
        correlation_id = int.from_bytes(frame[:4], "big", signed=True)
        if correlation_id != waiting.correlation_id:
            self._waiting.appendleft(waiting)
            self._garbled(f"answer {correlation_id} where {waiting.correlation_id} was due")
        elif not waiting.answer.done():
            waiting.answer.set_result(memoryview(frame))

    def _garbled(self, what: str) -> None:
        self._fail(
            ConnectionLost(f"{self.address} sent {what}: is it a Kafka listener, without TLS?")
        )
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: ConnectionLost) -> None:
        if self._lost is None:
            self._lost = error
        while self._waiting:
            answer = self._waiting.popleft().answer
            if not answer.done():
                answer.set_exception(self._lost)
                answer.exception()  # retrieved here: nobody need be waiting any more


def _in_words(error: OSError | None) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror or str(error)) if error is not None else "unknown"
