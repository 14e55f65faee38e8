"""When a probe fails, and what the pages say."""

from dataclasses import replace

import aiohttp
import pytest
from headrace_operator.health import HttpEndpoint, Vital

WELL = Vital(
    swept_ago=10.0,
    sweep_every=300.0,
    deaf_sweeps=0,
    longest_run=1.0,
    longest_wait=1.0,
    workers_free=True,
)


@pytest.mark.parametrize(
    ("vital", "word"),
    [
        (WELL, ""),
        (replace(WELL, swept_ago=None), ""),
        (replace(WELL, swept_ago=901.0), "listed"),
        (replace(WELL, deaf_sweeps=2), ""),
        (replace(WELL, deaf_sweeps=3), "no watch"),
        (replace(WELL, longest_run=301.0), "pass"),
        (replace(WELL, longest_wait=301.0), "waiting"),
        (replace(WELL, longest_wait=301.0, workers_free=False), ""),
    ],
)
def test_illness(vital: Vital, word: str) -> None:
    assert (word in vital.illness()) if word else vital.illness() == ""


async def test_the_pages() -> None:
    now = [WELL]
    endpoint = HttpEndpoint(lambda: now[0], lambda: b"metric 1\n")
    port = await endpoint.open("127.0.0.1", 0)

    async def page(name: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}{name}") as answer:
                return answer.status, await answer.text()

    try:
        assert await page("/healthz") == (200, "ok\n")
        assert await page("/readyz") == (200, "ready\n")
        assert await page("/metrics") == (200, "metric 1\n")
        now[0] = replace(WELL, swept_ago=None)
        assert (await page("/readyz"))[0] == 503
        assert (await page("/healthz"))[0] == 200
        now[0] = replace(WELL, longest_run=400.0)
        assert (await page("/healthz"))[0] == 503
    finally:
        await endpoint.close()
