"""Admin requests at a broker that is not the controller: they go there in an Envelope (KIP-590).

The envelope travels over the control listener, or where there is none over the first listener that
both have, with the caller's listener, client id, host and principal: quotas are charged where the
change is made, to who asked for it. Anybody can reach such a listener, so an envelope also carries
the sender's token, which stands in its registration and nowhere else: who cannot read the metadata
store cannot speak for others.

A change is asked for again only where it surely was not made. Where the controller goes away
before it answers, the caller is told so.
"""

import asyncio
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import structlog

from headrace.base.errors import Code, Refusal
from headrace.base.image import BrokerState, ClusterImage
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.client.errors import ClientError
from headrace.core.controller import NewTopic
from headrace.server import metadata_store
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.forwarded_answers import nothing_was_done, refused
from headrace.wire import messages
from headrace.wire.framing import ProtocolError, read_header
from headrace.wire.versions import API_VERSIONS, CREATE_TOPICS, ENVELOPE

if TYPE_CHECKING:
    from headrace.server.broker import Broker

log = structlog.get_logger("headrace.forwarding")

_FIND_S: Final = 8.0
"""To find a controller that takes a request: longer than the default 6 s in which a lease ends."""
_LOOK_S: Final = 0.2
"""Between two tries at one controller; news of another come first."""
_CONNECT_MS: Final = 2_000
_CREATE_VERSION: Final = 7
_ANSWER_MS: Final = 25_000
"""For the controller's answer: below the 30 s that clients give a request."""
_SEEN_S: Final = 5.0
"""For a change made elsewhere to come here by the watch."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked the broker that forwards."""

    listener: str
    host: str
    principal: str


@dataclass(frozen=True, slots=True)
class _Again:
    """The request was not carried out; why, for a person, or "" where the time was up."""

    why: str


class Forwarding:
    """One a broker. `follow` is a listener of the metadata; `close()` ends the connection."""

    def __init__(self, broker: "Broker") -> None:
        # The table of handlers imports every API; it is made once the broker exists.
        from headrace.server.apis import AT_CONTROLLER

        self.handlers = AT_CONTROLLER
        self._broker = broker
        self._metadata = broker.metadata
        self._control = broker.settings.control_listener_name
        self._shared = metadata_store.is_shared(broker.settings)
        self._name = f"headrace-broker-{broker.node_id}"
        self._news = asyncio.Event()
        self._connecting = asyncio.Lock()
        self._connection: Connection | None = None
        self._connected_to: tuple[int, int] = (-1, -1)

    # The broker that was asked.

    async def create_topic(self, new: NewTopic, asked_by: RequestContext | None) -> Refusal | None:
        """Create a topic without a CreateTopics request: for a client, or (None) for ourselves."""
        # No quota is for what comes through the control listener.
        context = asked_by or RequestContext(_CREATE_VERSION, self._name, self._control, "")
        topic = {
            "name": new.name,
            "num_partitions": new.partition_count,
            "replication_factor": new.replication_factor,
            "assignments": [],
            "configs": [{"name": name, "value": value} for name, value in new.settings],
        }
        asked = {"topics": [topic], "timeout_ms": _ANSWER_MS, "validate_only": False}
        frame = messages.write_request(CREATE_TOPICS, _CREATE_VERSION, 0, None, asked)[4:]
        body = read_header(frame).body
        request = messages.read_request(CREATE_TOPICS, _CREATE_VERSION, frame, body)
        context = replace(context, api_version=_CREATE_VERSION)
        made = (await self.execute(CREATE_TOPICS, request, context))["topics"][0]
        code, message = Code(int(made["error_code"])), made["error_message"]
        return Refusal(code, message or "") if code else None

    async def execute(self, api_key: int, request: Any, context: RequestContext) -> Fields:
        """The controller's answer: ours where we are it, else what it told us."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _FIND_S
        why = "The controller does not answer"
        while True:
            outcome = await self._try(api_key, request, context, deadline)
            if isinstance(outcome, Refusal):
                return refused(api_key, request, outcome)
            if not isinstance(outcome, _Again):
                return outcome
            why = outcome.why or why
            if loop.time() >= deadline:
                refusal = Refusal(Code.NOT_CONTROLLER, f"{why}. Nothing was changed; try again.")
                return refused(api_key, request, refusal)
            await self._wait(_LOOK_S)

    async def _try(
        self, api_key: int, request: Any, context: RequestContext, deadline: float
    ) -> Fields | _Again | Refusal:
        image = self._metadata.image
        if image.controller_id == self._metadata.node_id:
            fields = await self.handlers[api_key](self._broker, request, context)
            return _Again("The controller changed") if nothing_was_done(fields) else fields
        controller = image.brokers.get(image.controller_id)
        if controller is None:
            return _Again("No broker is controller at the moment")
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._connect(controller)
        except TimeoutError:
            return _Again("")
        except (ClientError, ProtocolError) as error:
            return _Again(f"The controller, broker {controller.broker_id}, is not reached: {error}")
        if self._metadata.image.controller_epoch != image.controller_epoch:
            return _Again("The controller changed")
        return await self._forward(connection, controller, api_key, request, context)

    async def _forward(
        self,
        connection: Connection,
        controller: BrokerState,
        api_key: int,
        request: Any,
        context: RequestContext,
    ) -> Fields | _Again | Refusal:
        version = context.api_version
        asked = messages.write_request(
            api_key, version, 0, context.client_id, messages.fields_of(request)
        )
        envelope = {
            "request_data": asked[4:],
            "request_principal": self._principal(context),
            "client_host_address": _packed(context.peer_host),
        }
        try:
            answer = connection.send(ENVELOPE, 0, envelope)
            # Right behind it, so that what it tells of the metadata holds the change.
            seen = connection.send(API_VERSIONS, connection.version(API_VERSIONS), _OURSELVES)
            frame = await connection.await_answer(answer, ENVELOPE, _ANSWER_MS)
            told = messages.read_response(ENVELOPE, 0, frame)
            if told.error_code in (Code.NOT_CONTROLLER, Code.CLUSTER_AUTHORIZATION_FAILED):
                # It does not know yet that it is controller, or that we registered anew.
                return _Again(f"Broker {controller.broker_id} does not take it as controller")
            if told.error_code or told.response_data is None:
                return _refusal(Code(int(told.error_code)), controller)
            inner = messages.read_response(api_key, version, told.response_data)
            await self._see(connection, seen)
        except (ClientError, ProtocolError) as error:
            return Refusal(
                Code.REQUEST_TIMED_OUT,
                f"The controller, broker {controller.broker_id}, did not answer ({error}): the "
                "change may have been made; look, and try again.",
            )
        return messages.fields_of(inner)

    async def _see(self, connection: Connection, answer: asyncio.Future[memoryview]) -> None:
        """Wait until our image holds what the controller's did when it had answered."""
        try:
            frame = await connection.await_answer(answer, API_VERSIONS, _CONNECT_MS)
            version = connection.version(API_VERSIONS)
            revision = messages.read_response(API_VERSIONS, version, frame).finalized_features_epoch
            async with asyncio.timeout(_SEEN_S):
                await self._metadata.reached(revision)
        except (ClientError, TimeoutError) as error:
            log.warning("a forwarded change is not seen here yet", reason=str(error))

    async def _connect(self, controller: BrokerState) -> Connection:
        """The connection to it. Raises ClientError."""
        async with self._connecting:
            wanted = (controller.broker_id, controller.epoch)
            if self._connection is None or self._connection.closed or self._connected_to != wanted:
                self.close()
                self._connection = await Connection.open(
                    self._address(controller),
                    client_id=self._name,
                    timeout_ms=_CONNECT_MS,
                )
                self._connected_to = wanted
            return self._connection

    def _address(self, controller: BrokerState) -> Address:
        ours = [endpoint.listener for endpoint in self._broker.kafka_endpoints]
        for listener in (self._control, *ours):
            endpoint = controller.endpoint(listener)
            if endpoint is not None:
                return Address(endpoint.host, endpoint.port)
        raise ClientError(
            f"it has none of our listeners ({', '.join(ours)}): give both a listener of one name"
        )

    def _principal(self, context: RequestContext) -> bytes:
        own = self._metadata.own
        return json.dumps(
            {
                "v": 1,
                "broker": self._metadata.node_id,
                "token": "" if own is None else own.token,
                "listener": context.listener,
                "principal": context.principal,
            }
        ).encode()

    async def _wait(self, timeout_s: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return

    def follow(self, old: ClusterImage, new: ClusterImage) -> None:
        """Look again where there is another controller; the one before it answers no more."""
        if old.controller_epoch != new.controller_epoch:
            self._news.set()
            self.close()

    def close(self) -> None:
        """Close the connection; who waits for an answer is told that there is none."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # The controller.

    def serves(self, listener: str) -> bool:
        """Whether envelopes are taken there: on the control listener, or on all without one."""
        listeners = {one.name for one in self._broker.listeners}
        return self._shared and (listener == self._control or self._control not in listeners)

    def advertises(self, listener: str) -> bool:
        """Whether they are told of there: clients have no use for them."""
        return self._shared and listener == self._control

    def caller(self, envelope: Any) -> Caller | None:
        """For whom an envelope speaks; None where its sender is no broker of this cluster."""
        try:
            said: Mapping[str, Any] = json.loads(envelope.request_principal or b"")
            sender = self._metadata.image.brokers.get(int(said["broker"]))
            token, listener, principal = (
                str(said[name]) for name in ("token", "listener", "principal")
            )
        except (ValueError, KeyError, TypeError):
            return None
        if sender is None or not sender.token:
            return None
        if not hmac.compare_digest(sender.token.encode(), token.encode()):
            return None
        return Caller(listener, _unpacked(envelope.client_host_address), principal)


_OURSELVES: Final = {"client_software_name": "headrace", "client_software_version": "0"}


def _refusal(code: Code, controller: BrokerState) -> Refusal:
    return Refusal(
        Code.INVALID_REQUEST if code is Code.UNSUPPORTED_VERSION else code,
        f"The controller, broker {controller.broker_id}, refused the request as it was forwarded "
        f"({code.name}): is it of another version?",
    )


def _packed(host: str) -> bytes:
    try:
        return ip_address(host).packed
    except ValueError:
        return b""


def _unpacked(address: bytes) -> str:
    return str(ip_address(address)) if len(address) in (4, 16) else ""
