"""A forwarded request and a controller that is away, refuses, dies in the middle, or freezes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from headrace.base.errors import Code
from headrace.base.image import BrokerState, ClusterImage, Endpoint
from headrace.base.persistent_map import PersistentMap
from headrace.config.broker import BrokerSettings
from headrace.core.controller import NewTopic
from headrace.server import forwarding as module
from headrace.server.dispatch import RequestContext
from headrace.server.forwarding import Forwarding
from headrace.wire import messages
from headrace.wire.framing import read_header
from headrace.wire.versions import API_VERSIONS, APIS, ENVELOPE

OURSELVES, CONTROLLER = 1, 2
REVISION = 40
CLIENT = RequestContext(7, "app", "PLAINTEXT", "10.0.0.9", "User:ANONYMOUS")
LOSE, FREEZE = "lose", "freeze"


def state(broker_id: int, port: int, *listeners: str) -> BrokerState:
    endpoints = tuple(Endpoint(listener=n, host="127.0.0.1", port=port) for n in listeners)
    return BrokerState(
        broker_id=broker_id,
        epoch=broker_id,
        incarnation=UUID(int=broker_id),
        endpoints=endpoints,
        token=f"token{broker_id}",
    )


class Controller:
    """Answers envelopes by script, the last entry for ever; keeps what was in them."""

    def __init__(self, script: Sequence[Code | str]) -> None:
        self.envelopes: list[Any] = []
        self.asked = asyncio.Event()
        self._script = list(script)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
                header = read_header(frame)
                request = messages.read_request(
                    header.api_key, header.api_version, frame, header.body
                )
                fields = self._versions()
                if header.api_key == ENVELOPE:
                    script = self._script.pop(0) if len(self._script) > 1 else self._script[0]
                    self.envelopes.append(request)
                    self.asked.set()
                    if script == LOSE:
                        return
                    if script == FREEZE:
                        await asyncio.sleep(3600)
                    fields = self._answer(request, script)
                writer.write(
                    messages.write_response(
                        header.api_key, header.api_version, header.correlation_id, fields
                    )
                )
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def _versions(self) -> dict[str, Any]:
        api = APIS[API_VERSIONS]
        listed = {"api_key": api.key, "min_version": 0, "max_version": api.max_version}
        return {"error_code": 0, "api_keys": [listed], "finalized_features_epoch": REVISION}

    def _answer(self, request: Any, code: Code | str) -> dict[str, Any]:
        if code is not Code.NONE:
            return {"error_code": code, "response_data": None}
        inner = read_header(request.request_data)
        asked = messages.read_request(19, inner.api_version, request.request_data, inner.body)
        topics = [
            {
                "name": t.name,
                "topic_id": None,
                "error_code": 0,
                "error_message": None,
                "configs": [],
            }
            for t in asked.topics
        ]
        answer = messages.write_response(19, inner.api_version, 0, {"topics": topics})
        return {"error_code": Code.NONE, "response_data": answer[4:]}


class Followed:
    """The metadata of the broker that forwards."""

    def __init__(self, image: ClusterImage) -> None:
        self.image, self.node_id = image, OURSELVES
        self.own = image.brokers[OURSELVES]
        self.reached_revisions: list[int] = []

    async def reached(self, revision: int) -> None:
        self.reached_revisions.append(revision)


class World:
    def __init__(self, port: int, listeners: Sequence[str]) -> None:
        ours = state(OURSELVES, 1, "PLAINTEXT", *listeners)
        brokers: PersistentMap[int, BrokerState] = PersistentMap()
        brokers = brokers.set(OURSELVES, ours).set(CONTROLLER, state(CONTROLLER, port, *listeners))
        image = ClusterImage(
            cluster_id="c", brokers=brokers, controller_id=CONTROLLER, controller_epoch=7
        )
        self.metadata = Followed(image)
        broker: Any = SimpleNamespace(
            metadata=self.metadata,
            node_id=OURSELVES,
            settings=BrokerSettings(metadata_store="etcd"),
            kafka_endpoints=ours.endpoints,
            listeners=[SimpleNamespace(name=name) for name in ("PLAINTEXT", *listeners)],
        )
        self.forwarding = Forwarding(broker)

    def become(self, **changed: Any) -> None:
        old = self.metadata.image
        self.metadata.image = replace(old, **changed)
        self.forwarding.follow(old, self.metadata.image)

    async def create(self) -> Any:
        return await self.forwarding.create_topic(NewTopic(name="t"), CLIENT)


@asynccontextmanager
async def world(
    *script: Code | str, listeners: Sequence[str] = ("CONTROL",)
) -> AsyncIterator[tuple[World, Controller]]:
    controller = Controller(script or (Code.NONE,))
    server = await asyncio.start_server(controller.serve, "127.0.0.1", 0)
    made = World(server.sockets[0].getsockname()[1], listeners)
    try:
        yield made, controller
    finally:
        made.forwarding.close()
        server.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIND_S", 0.3)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)


@pytest.mark.parametrize("listeners", [("CONTROL",), ("PLAINTEXT",)])
async def test_the_controller_is_told_who_asks_and_its_change_is_awaited(
    listeners: tuple[str, ...],
) -> None:
    async with world(listeners=listeners) as (one, controller):
        assert await one.create() is None
        (envelope,) = controller.envelopes
        assert read_header(envelope.request_data).client_id == "app"
        assert envelope.client_host_address == bytes((10, 0, 0, 9))
        caller = one.forwarding.caller(envelope)
        assert caller is not None
        assert (caller.listener, caller.host) == ("PLAINTEXT", "10.0.0.9")
        assert caller.principal == "User:ANONYMOUS"
        assert one.metadata.reached_revisions == [REVISION]


async def test_a_broker_that_is_no_controller_yet_is_asked_again() -> None:
    script = (Code.NOT_CONTROLLER, Code.CLUSTER_AUTHORIZATION_FAILED, Code.NONE)
    async with world(*script) as (one, controller):
        assert await one.create() is None
        assert len(controller.envelopes) == 3


async def test_a_change_whose_answer_is_lost_is_not_asked_for_again() -> None:
    async with world(LOSE, Code.NONE) as (one, controller):
        refusal = await one.create()
        assert refusal.code is Code.REQUEST_TIMED_OUT
        assert "may have been made" in refusal.message
        assert len(controller.envelopes) == 1
        assert await one.create() is None, "and the next one has a connection of its own"


async def test_a_frozen_controller_is_given_up_once_there_is_another() -> None:
    async with world(FREEZE) as (one, controller):
        creating = asyncio.ensure_future(one.create())
        await asyncio.wait_for(controller.asked.wait(), 5)
        one.become(controller_id=3, controller_epoch=9)
        refusal = await asyncio.wait_for(creating, 5)
        assert refusal.code is Code.REQUEST_TIMED_OUT


async def test_without_a_controller_the_client_is_told_to_try_again() -> None:
    async with world() as (one, controller):
        one.become(controller_id=-1, controller_epoch=-1)
        refusal = await one.create()
        assert refusal.code is Code.NOT_CONTROLLER
        assert "No broker is controller" in refusal.message
        one.become(controller_id=CONTROLLER, controller_epoch=8)
        assert await one.create() is None
        assert len(controller.envelopes) == 1


async def test_a_controller_that_is_not_reached_is_named() -> None:
    async with world() as (one, _):
        brokers = one.metadata.image.brokers
        one.become(brokers=brokers.set(CONTROLLER, state(CONTROLLER, 1, "CONTROL")))
        refusal = await one.create()
        assert refusal.code is Code.NOT_CONTROLLER
        assert "broker 2, is not reached: No broker at 127.0.0.1:1" in refusal.message
        one.become(brokers=brokers.set(CONTROLLER, state(CONTROLLER, 1, "ELSEWHERE")))
        refusal = await one.create()
        assert "it has none of our listeners (PLAINTEXT, CONTROL)" in refusal.message


@pytest.mark.parametrize(
    "said",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b'{"broker":1}',
        b'{"broker":9,"token":"token1","listener":"L","principal":"P"}',
        b'{"broker":2,"token":"token1","listener":"L","principal":"P"}',
        b'{"broker":1,"token":"","listener":"L","principal":"P"}',
        '{"broker":1,"token":"tökén","listener":"L","principal":"P"}'.encode(),
    ],
)
async def test_who_has_no_token_speaks_for_nobody(said: bytes | None) -> None:
    async with world() as (one, _):
        envelope = SimpleNamespace(request_principal=said, client_host_address=b"")
        assert one.forwarding.caller(envelope) is None
        good = b'{"broker":1,"token":"token1","listener":"L","principal":"P"}'
        envelope.request_principal = good
        assert one.forwarding.caller(envelope) is not None
        brokers = one.metadata.image.brokers
        one.become(brokers=brokers.set(1, replace(brokers[1], token="")))
        assert one.forwarding.caller(envelope) is None, "one that registered without a token"
