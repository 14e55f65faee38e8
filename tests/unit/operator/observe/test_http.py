"""What brokers and etcd members say over HTTP, asked of a real server."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from headrace_operator.observe.http import read_members, read_reports
from headrace_operator.plan.observed_cluster import MemberHealth, Report

STATUS: dict[str, Any] = {
    "broker_id": 2,
    "cluster_id": "abc",
    "broker_epoch": 41,
    "incarnation": "x",
    "config_hash": "h",
    "version": "0.1.0",
    "ready": True,
    "metadata_age_seconds": 0.1,
    "partitions": 3,
}


@asynccontextmanager
async def answering(path: str, status: int, text: str) -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get(path, answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_a_report() -> None:
    async with answering("/status", 200, json.dumps(STATUS)) as p:
        found = await read_reports({2: "127.0.0.1"}, port=p)
    expected = Report(
        broker_id=2, epoch=41, config_hash="h", ready=True, version="0.1.0", cluster_id="abc"
    )
    assert found == {2: expected}


@pytest.mark.parametrize("text", ["[]", "{}", "no json", '{"broker_id": "x"}'])
async def test_what_cannot_be_read_is_absent(text: str) -> None:
    async with answering("/status", 200, text) as port:
        assert await read_reports({2: "127.0.0.1"}, port=port) == {}


async def test_another_brokers_report_is_not_this_brokers() -> None:
    text = json.dumps(STATUS)
    async with answering("/status", 200, text) as port:
        assert await read_reports({1: "127.0.0.1"}, port=port) == {}


async def test_one_that_does_not_listen_is_absent() -> None:
    async with answering("/status", 200, "{}") as port:
        pass
    assert await read_reports({2: "127.0.0.1"}, port=port) == {}
    assert await read_members({0: "127.0.0.1"}, port=port) == {}


@pytest.mark.parametrize(
    ("status", "text", "health"),
    [
        (200, '{"health":"true","reason":""}', MemberHealth(healthy=True)),
        (
            503,
            '{"health":"false","reason":"ALARM NOSPACE"}',
            MemberHealth(healthy=False, alarm="NOSPACE"),
        ),
        (503, '{"health":"false","reason":"RAFT NO LEADER"}', MemberHealth(healthy=False)),
    ],
)
async def test_the_health_of_a_member(status: int, text: str, health: MemberHealth) -> None:
    async with answering("/health", status, text) as port:
        assert await read_members({0: "127.0.0.1"}, port=port) == {0: health}
