"""The `headrace` command: finds the subcommand, and turns every failure into words and a code.

Exit codes: 0 done, 1 failed, 2 called wrongly. A command's module is imported only when that
command runs, so `headrace --help` starts in a fraction of the time that the client takes to load.
"""

import os
import signal
import sys
from importlib import import_module
from typing import Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem

from headrace.cli import standard_streams
from headrace.cli.commands import Group
from headrace.cli.fault import EXIT_FAILED, EXIT_USAGE, report, report_usage

COMMANDS: Final = {
    "dev": "Run a broker on this machine, for development.",
    "broker": "Run a broker from a configuration file, for production.",
    "produce": "Write lines from standard input to a topic.",
    "consume": "Write a topic's records to standard output.",
    "topic": "Create, list, describe, alter and delete topics.",
    "group": "List, describe, reset and delete consumer groups.",
    "config": "Show and change settings of topics, brokers and groups.",
    "quota": "Show and change what clients may use.",
    "cluster": "Show the state of the cluster.",
    "log": "Look into a broker's files, without a broker.",
    "completion": "Print the completion script for a shell.",
    "version": "Show the version.",
}
"""Every command in the order of `--help`, with its line there: none need be imported for it."""

_EPILOG = """\b
Example: two terminals, one pipe
  headrace dev
  cat LICENSE | headrace produce raw
  headrace consume raw --no-follow | grep -i apache

The broker's address is --bootstrap, or $HEADRACE_BOOTSTRAP, or a profile's (--profile,
$HEADRACE_PROFILE, or the default of ~/.config/headrace/profiles.toml), or 127.0.0.1:9092.

\b
That file has
  default = "local"
  [local]
  bootstrap = "127.0.0.1:9092"
"""


class Commands(Group):
    """A group whose commands are modules of `headrace.cli.commands` that hold a `command`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would make it exit code 1
            _die_of(signal.SIGPIPE)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"headrace.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def lines(self, ctx: click.Context) -> list[tuple[str, str]]:
        return list(COMMANDS.items())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=line)
            for name, line in COMMANDS.items()
            if name.startswith(incomplete)
        ]


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from headrace.cli.commands.version import LINE

        click.echo(LINE)
        context.exit()


@click.command(
    cls=Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def headrace() -> None:
    """A distributed, durable commit log that speaks the Apache Kafka protocol."""


def main() -> NoReturn:
    """The console script."""
    # kio imports hypothesis wherever that is installed, to register strategies for its types:
    # 150 ms and 20 MB that no command and no broker has a use for.
    sys.modules.setdefault("hypothesis", None)  # type: ignore[arg-type]
    standard_streams.prepare()
    try:
        outcome: Any = headrace.main(prog_name="headrace", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.UsageError as error:
        report_usage(error)
        sys.exit(EXIT_USAGE)
    except BrokenPipeError:
        _die_of(signal.SIGPIPE)
    except (KeyboardInterrupt, click.Abort):
        _die_of(signal.SIGINT)
    except Exception as error:
        if not report(error):
            raise
        _forget_output()
        sys.exit(getattr(error, "exit_code", EXIT_FAILED))
    sys.exit(outcome if isinstance(outcome, int) else 0)


def _die_of(number: signal.Signals) -> NoReturn:
    """End as the signal would have ended us, so that shells see what they expect of a filter.

    Python ignores SIGPIPE, and must: a broker that closes its connection would kill us, too.
    """
    _forget_output()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    sys.exit(128 + number)


def _forget_output() -> None:
    """What stdout still buffers cannot be written; the flush at exit must not say so again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
