"""What commands that talk to a cluster share: their options, the event loop, questions."""

import asyncio
import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final

import click

from headrace.cli import profiles
from headrace.cli.fault import Failure
from headrace.cli.output import output_option
from headrace.client.cluster import Cluster

_DECLINED: Final = "Nothing was changed"


def connected(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Makes a command of a coroutine that takes (cluster, output, **options)."""

    @output_option
    @click.option("-b", "--bootstrap", metavar="HOST:PORT,...", help="Brokers to connect to.")
    @click.option("--profile", metavar="NAME", help="A profile of profiles.toml.")
    @functools.wraps(function)
    def command(bootstrap: str | None, profile: str | None, **options: Any) -> Any:
        _refuse_what_is_not_text([bootstrap, profile, *options.values()])
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


def _refuse_what_is_not_text(values: Iterable[Any]) -> None:
    """The protocol's strings are UTF-8. An argument in another encoding is called wrongly."""
    for value in values:
        if isinstance(value, tuple | dict):
            _refuse_what_is_not_text(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise click.UsageError(f"{value!a} is not UTF-8 text.") from None


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere `--yes` is the answer.

    Raises UsageError, Failure where the answer is no (or Ctrl-D), Abort on Ctrl-C.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal to ask on, this needs --yes.")
    try:
        if _answer(question):
            return
    except KeyboardInterrupt:
        click.echo(f"\n{_DECLINED}.", err=True)
        raise click.Abort from None
    raise Failure(_DECLINED, code="DECLINED")


def _answer(question: str) -> bool:
    with _interruptible():
        while True:
            click.echo(f"{question} [y/N] ", nl=False, err=True)
            line = sys.stdin.readline()
            if not line:  # Ctrl-D, which leaves the cursor behind the question
                click.echo(err=True)
            answer = line.strip().lower()
            if answer in ("", "n", "no"):
                return False
            if answer in ("y", "yes"):
                return True
            click.echo("Please answer y or n.", err=True)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Signals end a read at once: asyncio's handlers would only note them until it returns."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
