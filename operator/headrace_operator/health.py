"""/healthz, /readyz and /metrics.

Healthy is a process whose loop turns (answering shows it), whose queue moves and whose picture of
the API server is not too old. Ready is one that has that picture at all, active or standby.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

SILENCE_SWEEPS: Final = 3
"""Sweeps in a row that may fail or find the watch deaf before the process is started anew."""

STUCK_SECONDS: Final = 300
"""A key that waits longer while workers are free, or runs longer than any deadline allows."""

_PROBE: web.AppKey[Callable[[], "Vital"]] = web.AppKey("probe")
_METRICS: web.AppKey[Callable[[], bytes]] = web.AppKey("metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """What the probes look at; durations in seconds."""

    swept_ago: float | None
    """Since the last complete sweep; None before the first one."""
    sweep_every: float
    deaf_sweeps: int
    longest_run: float
    longest_wait: float
    workers_free: bool

    def illness(self) -> str:
        """Why the process should be started anew; empty where it should not."""
        if self.swept_ago is not None and self.swept_ago > SILENCE_SWEEPS * self.sweep_every:
            return f"the API server could not be listed for {self.swept_ago:.0f} s"
        if self.deaf_sweeps >= SILENCE_SWEEPS:
            return f"{self.deaf_sweeps} sweeps in a row found changes that no watch had told"
        if self.longest_run > STUCK_SECONDS:
            return f"a pass has been running for {self.longest_run:.0f} s"
        if self.workers_free and self.longest_wait > STUCK_SECONDS:
            return f"a key has been waiting for {self.longest_wait:.0f} s though workers are free"
        return ""


class HttpEndpoint:
    """The HTTP side of the operator."""

    def __init__(self, probe: Callable[[], Vital], metrics: Callable[[], bytes]) -> None:
        app = web.Application(client_max_size=64 * 1024)
        app[_PROBE] = probe
        app[_METRICS] = metrics
        app.add_routes(
            [
                web.get("/healthz", _healthz),
                web.get("/readyz", _readyz),
                web.get("/metrics", _metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host or None, port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()


async def _healthz(request: web.Request) -> web.Response:
    illness = request.app[_PROBE]().illness()
    return web.Response(status=503 if illness else 200, text=f"{illness or 'ok'}\n")


async def _readyz(request: web.Request) -> web.Response:
    if request.app[_PROBE]().swept_ago is None:
        text = "not ready: the API server has not been listed yet\n"
        return web.Response(status=503, text=text)
    return web.Response(text="ready\n")


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(
        body=request.app[_METRICS](),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )
