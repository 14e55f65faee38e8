"""What the shell completes beside commands and options: topics, groups, brokers, settings.

Whoever presses Tab waits, so a cluster that does not answer at once suggests nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import click

DEADLINE_MS: Final = 300

Suggest = Callable[[click.Context, click.Parameter, str], list[str]]
_Ask = Callable[[Any], Awaitable[Iterable[str]]]


def topics(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Topics by name; internal ones where their first letters are there already."""

    async def ask(cluster: Any) -> Iterable[str]:
        listed = (await cluster.refresh(None)).topics.values()
        return sorted(t.name for t in listed if not t.internal or incomplete.startswith("_"))

    return _starting(incomplete, _asked(context, ask))


def groups(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Consumer groups by name."""

    async def ask(cluster: Any) -> Iterable[str]:
        from headrace.client.group_admin import list_groups

        return [group.name for group in await list_groups(cluster)]

    return _starting(incomplete, _asked(context, ask))


def resources(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of what `headrace config` is about: of the kind that stands before."""
    kind = context.params.get("kind")
    if kind == "broker":

        async def ask(cluster: Any) -> Iterable[str]:
            return ["default", *map(str, sorted((await cluster.refresh(())).brokers))]

        return _starting(incomplete, _asked(context, ask))
    return (groups if kind == "group" else topics)(context, parameter, incomplete)


def setting_keys(kind: str | None = None, *, end: str = "") -> Suggest:
    """Keys of a topic's or a broker's settings; of the kind that stands before if None."""

    def suggest(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from headrace.config.table import broker_keys
        from headrace.config.topic import LOG_FIELDS

        of_kind = kind or context.params.get("kind")
        known = {"topic": [k.name for k in LOG_FIELDS.values()], "broker": broker_keys()}
        return _starting(incomplete, [k + end for k in sorted(known.get(str(of_kind), ()))])

    return suggest


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _asked(context: click.Context, ask: _Ask) -> list[str]:
    """What the cluster of the command line says; nothing where it cannot in time."""
    from headrace.cli import profiles
    from headrace.cli.fault import Failure
    from headrace.client.cluster import Cluster
    from headrace.client.errors import ClientError

    async def session() -> list[str]:
        given = context.params
        addresses = profiles.from_environment(given.get("bootstrap"), given.get("profile"))
        async with (
            asyncio.timeout(DEADLINE_MS / 1000),
            Cluster(addresses, client_id="headrace-completion") as cluster,
        ):
            return list(await ask(cluster))

    try:
        return asyncio.run(session())
    except (ClientError, Failure, OSError, TimeoutError):
        return []
