"""`headrace dev`."""

import sys
from pathlib import Path

import click

from headrace.cli import suggest
from headrace.cli.settings_file import settings_of

DATA_DIR = "headrace-data"
"""In the current folder: a developer sees what the broker writes, and deletes it to start anew."""

_DEFAULTS = {
    "log.dirs": DATA_DIR,
    # Nobody waits for more members here: Kafka's quick start has 0 as well, its default is 3 s.
    "group.initial.rebalance.delay.ms": "0",
}

_EPILOG = """\b
Example:
  headrace dev --data-dir /tmp/log --set num.partitions=4

Topics are created when they are first used. Ctrl-C stops it; the records stay in the data
folder.
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Where records are kept [./{DATA_DIR}].",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option(
    "--kafka-port",
    type=click.IntRange(0, 65535),
    default=9092,
    show_default=True,
    help="Port for clients; 0 takes a free one.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=9404,
    show_default=True,
    help="Port for metrics and health; 0 takes a free one.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A broker setting.",
    shell_complete=suggest.setting_keys("broker", end="="),
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of KEY=VALUE settings.",
)
@click.pass_context
def command(
    context: click.Context,
    data_dir: Path | None,
    host: str,
    kafka_port: int,
    http_port: int,
    sets: tuple[str, ...],
    config: Path | None,
) -> int:
    """Run a broker on this machine, for development."""
    address = f"[{host}]" if ":" in host else host
    ours = {"listeners": f"PLAINTEXT://{address}:{kafka_port}", "http.port": str(http_port)}
    given = {
        "listeners": _given(context, "host") or _given(context, "kafka_port"),
        "http.port": _given(context, "http_port"),
    }
    flags = {key: value for key, value in ours.items() if given[key]}
    if data_dir is not None:
        flags["log.dirs"] = str(data_dir)
    settings = settings_of(config, sets, flags, {**ours, **_DEFAULTS})
    from headrace.server.main import run  # only once the settings are known to be good

    return run(settings, for_people=sys.stdout.isatty(), ready_line=True)


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
