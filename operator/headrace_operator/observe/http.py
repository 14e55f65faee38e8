"""What brokers and etcd members say of themselves over plain HTTP. An answer that does not come, or
cannot be read, is absent: nothing is concluded from it."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from headrace_operator.build.protection import ETCD_METRICS_PORT
from headrace_operator.crd.listeners import HTTP_PORT
from headrace_operator.plan.observed_cluster import MemberHealth, Report

ANSWER_TIMEOUT_S: Final = 2.0
"""A broker answers in milliseconds; one that does not within this is not serving well."""
AT_ONCE_MAX: Final = 32


async def read_reports(addresses: Mapping[int, str], *, port: int = HTTP_PORT) -> dict[int, Report]:
    """By broker id, from the addresses of their pods."""
    urls = {number: _url(host, port, "/status") for number, host in addresses.items()}
    found = {}
    for number, answer in (await _ask(urls)).items():
        report = _report(answer)
        if report is not None and report.broker_id == number:
            found[number] = report
    return found


async def read_members(
    addresses: Mapping[int, str], *, port: int = ETCD_METRICS_PORT
) -> dict[int, MemberHealth]:
    """By index, from the addresses of their pods."""
    urls = {index: _url(host, port, "/health") for index, host in addresses.items()}
    return {index: _health(answer) for index, answer in (await _ask(urls)).items()}


def _url(host: str, port: int, path: str) -> str:
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


async def _ask(urls: Mapping[int, str]) -> dict[int, Any]:
    if not urls:
        return {}
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=AT_ONCE_MAX, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        answers = await asyncio.gather(*(_get(session, url) for url in urls.values()))
    return {n: a for n, a in zip(urls, answers, strict=True) if a is not None}


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    """The JSON answered, whatever its status: etcd says why it is not healthy with a 503."""
    try:
        async with session.get(url) as response:
            return await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        return None


def _report(answer: Any) -> Report | None:
    try:
        return Report(
            broker_id=int(answer["broker_id"]),
            epoch=int(answer["broker_epoch"]),
            config_hash=str(answer["config_hash"]),
            ready=bool(answer["ready"]),
            version=str(answer.get("version", "")),
            cluster_id=str(answer.get("cluster_id", "")),
            progress=str(answer.get("progress", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _health(answer: Any) -> MemberHealth:
    """etcd's /health: {"health": "true"} or "false" with a reason such as ALARM NOSPACE."""
    answer = answer if isinstance(answer, dict) else {}
    reason = str(answer.get("reason", ""))
    alarm = reason.removeprefix("ALARM ").strip() if reason.startswith("ALARM ") else ""
    return MemberHealth(healthy=answer.get("health") == "true", alarm=alarm)
