"""What is seen from outside: /metrics, /healthz, /readyz, /status and /loglevel.

Healthy means that the loop turns, which answering shows; ready means recovered and registered,
and is not unset by a metadata store that is away (design.md, probes).
"""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from headrace.server import logs, metrics

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_BROKER: web.AppKey["Broker"] = web.AppKey("broker")
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class HttpEndpoint:
    """The HTTP side of one broker."""

    def __init__(self, broker: "Broker") -> None:
        app = web.Application(client_max_size=64 * 1024)
        app[_BROKER] = broker
        app.add_routes(
            [
                web.get("/", _index),
                web.get("/metrics", _metrics),
                web.get("/healthz", _healthz),
                web.get("/readyz", _readyz),
                web.get("/status", _status),
                web.get("/loglevel", _get_level),
                web.put("/loglevel", _put_level),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host or None, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()


async def _index(request: web.Request) -> web.Response:
    return web.Response(text="/metrics\n/healthz\n/readyz\n/status\n/loglevel\n")


async def _metrics(request: web.Request) -> web.StreamResponse:
    if not request.app[_BROKER].ready:
        return await _readyz(request)
    response = web.StreamResponse(headers={"Content-Type": _TEXT})
    try:
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            async for chunk in _encoded(request.app[_BROKER]):
                await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        pass  # Whoever asked has gone, as `curl | head` does.
    return response


async def _encoded(broker: "Broker") -> AsyncIterator[bytes]:
    async for chunk in metrics.render(broker):
        yield chunk.encode()


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    broker = request.app[_BROKER]
    if broker.ready:
        return web.Response(text="ready\n")
    return web.Response(status=503, text=f"not ready: {broker.progress}\n")


async def _status(request: web.Request) -> web.Response:
    broker = request.app[_BROKER]
    described = broker.status.describe(ready=broker.ready)
    return web.json_response({**described, "progress": broker.progress}, dumps=_line)


def _line(value: object) -> str:
    return json.dumps(value) + "\n"


async def _get_level(request: web.Request) -> web.Response:
    levels = {name: logs.level_of(name) for name in (logs.ROOT, *logs.LOGGERS)}
    return web.json_response(levels, dumps=_line)


async def _put_level(request: web.Request) -> web.Response:
    """Query or form: level=DEBUG and, for one logger alone, logger=headrace.log."""
    form = await request.post()
    level = request.query.get("level") or form.get("level")
    logger = str(request.query.get("logger") or form.get("logger") or logs.ROOT)
    if logger not in (logs.ROOT, *logs.LOGGERS):
        return web.Response(status=400, text=f"no logger {logger!r}\n")
    try:
        logs.set_level(logger, str(level))
    except ValueError as refused:
        return web.Response(status=400, text=f"{refused}\n")
    return web.Response(text=f"{logger} {logs.level_of(logger)}\n")
