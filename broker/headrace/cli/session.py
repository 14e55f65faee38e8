"""What commands that talk to a cluster share: their options, the event loop, questions."""

import asyncio
import functools
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click

from headrace.cli import profiles
from headrace.cli.fault import Failure
from headrace.cli.output import output_option
from headrace.client.cluster import Cluster


def connected(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Makes a command of a coroutine that takes (cluster, output, **options)."""

    @output_option
    @click.option("-b", "--bootstrap", metavar="HOST:PORT,...", help="Brokers to connect to.")
    @click.option("--profile", metavar="NAME", help="A profile of profiles.toml.")
    @functools.wraps(function)
    def command(bootstrap: str | None, profile: str | None, **options: Any) -> Any:
        addresses = profiles.from_environment(bootstrap, profile)

        async def session() -> Any:
            loop = asyncio.get_running_loop()
            task = asyncio.current_task()
            if task is not None:  # SIGTERM cleans up (leaves groups, commits) as Ctrl-C does
                loop.add_signal_handler(signal.SIGTERM, task.cancel)
            async with Cluster(addresses, client_id="headrace-cli") as cluster:
                return await function(cluster, **options)

        try:
            return asyncio.run(session())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    return command


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere `--yes` is the answer. Raises Failure or UsageError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal to ask on, this needs --yes.")
    if not click.confirm(question, err=True):
        raise Failure("Nothing was changed, as you said no", code="DECLINED")


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def parse_pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    """KEY=VALUE options as a mapping. Raises UsageError."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option} {text!r} is not of the form KEY=VALUE.")
        pairs[key] = value
    return pairs
