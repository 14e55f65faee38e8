"""What the API server's answers become. What it promises itself is checked in e2e/kubernetes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from headrace_operator.errors import (
    AlreadyExists,
    Conflict,
    Gone,
    KubeError,
    LeaseLost,
    NotFound,
    Refused,
    Unreachable,
)
from headrace_operator.kinds import ALL, CONFIG_MAP, NODE, TOPIC, kind_of
from headrace_operator.kube import Kube
from kubernetes.aio.client.configuration import Configuration


class Script:
    """A server that answers what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.asked.append((request.method, request.path_qs, json.loads(text) if text else None))
        status, body = self.answers.pop(0)
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    made = Script()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def kube(script: Script) -> AsyncIterator[Kube]:
    made = Kube(Configuration(host=script.url))
    yield made
    await made.close()


def failure(code: int, reason: str, message: str = "it says why", **details: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (400, "BadRequest", Refused),
        (401, "Unauthorized", Refused),
        (403, "Forbidden", Refused),
        (413, "RequestEntityTooLarge", Refused),
        (422, "Invalid", Refused),
        (429, "TooManyRequests", Unreachable),
        (500, "InternalError", Unreachable),
        (503, "ServiceUnavailable", Unreachable),
    ],
)
async def test_each_status_is_one_kind_of_error(
    script: Script, kube: Kube, code: int, reason: str, kind: type[KubeError]
) -> None:
    script.answers = [(code, failure(code, reason))]
    with pytest.raises(KubeError, match="it says why") as raised:
        await kube.get(TOPIC, "ns", "t")
    assert type(raised.value) is kind
    assert "GET /apis/headrace.io/v1alpha1/namespaces/ns/topics/t" in str(raised.value)
    assert len(script.asked) == 1, "a hidden retry"


async def test_a_refusal_carries_the_servers_sentence_and_causes(
    script: Script, kube: Kube
) -> None:
    causes = [{"reason": "NamespaceTerminating"}]
    script.answers = [(403, failure(403, "Forbidden", "being terminated", causes=causes))]
    with pytest.raises(Refused) as raised:
        await kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "n"}})
    assert raised.value.message == "being terminated"
    assert raised.value.namespace_terminating


async def test_what_is_no_json_is_quoted(script: Script, kube: Kube) -> None:
    script.answers = [(502, "<html>a proxy</html>")]
    with pytest.raises(Unreachable, match="a proxy"):
        await kube.get(TOPIC, "ns", "t")


async def test_nobody_there_is_unreachable(kube: Kube) -> None:
    absent = Kube(Configuration(host="http://127.0.0.1:1"))
    with pytest.raises(Unreachable, match="could not be reached"):
        await absent.get(TOPIC, "ns", "t")
    await absent.close()


async def test_a_guard_stops_writes_and_no_reads(script: Script) -> None:
    def guard() -> None:
        raise LeaseLost("not ours")

    guarded = Kube(Configuration(host=script.url), guard=guard)
    script.answers = [(200, {"metadata": {}})]
    await guarded.get(TOPIC, "ns", "t")
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    for write in (
        guarded.apply(config_map),
        guarded.create(config_map),
        guarded.replace(config_map),
        guarded.merge_patch(CONFIG_MAP, "ns", "x", {}),
        guarded.delete(CONFIG_MAP, "ns", "x"),
    ):
        with pytest.raises(LeaseLost):
            await write
    await guarded.close()
    assert len(script.asked) == 1


async def test_a_list_that_expired_starts_anew_and_never_counts_as_complete(
    script: Script, kube: Kube
) -> None:
    page = {"items": [{"n": 1}], "metadata": {"resourceVersion": "5", "continue": "x"}}
    last = {"items": [{"n": 2}], "metadata": {"resourceVersion": "6"}}
    script.answers = [(200, page), (410, failure(410, "Expired")), (200, page), (200, last)]
    listing = await kube.list_all(TOPIC, "ns")
    assert [item["n"] for item in listing.items] == [1, 2]
    assert "continue=x" in script.asked[3][1]
    script.answers = [(200, page), (410, failure(410, "Expired"))] * 3
    with pytest.raises(Gone):
        await kube.list_all(TOPIC, "ns")


async def test_delete_sends_its_preconditions(script: Script, kube: Kube) -> None:
    script.answers = [(200, {}), (404, failure(404, "NotFound"))]
    assert await kube.delete(CONFIG_MAP, "ns", "x", uid="u", resource_version="7")
    assert not await kube.delete(CONFIG_MAP, "ns", "x")
    assert script.asked[0][2] == {
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
    }


def test_paths() -> None:
    assert NODE.path("ignored", "n1") == "/api/v1/nodes/n1"
    assert TOPIC.path(None) == "/apis/headrace.io/v1alpha1/topics"
    status = TOPIC.path("ns", "t", "status")
    assert status == "/apis/headrace.io/v1alpha1/namespaces/ns/topics/t/status"
    for kind in ALL:
        assert kind_of({"apiVersion": kind.api_version, "kind": kind.name}) is kind
