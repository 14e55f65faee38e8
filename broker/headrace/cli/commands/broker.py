"""`headrace broker`."""

from pathlib import Path

import click

from headrace.cli import suggest
from headrace.cli.settings_file import settings_of

_EPILOG = """\b
Example:
  headrace broker --config /etc/headrace/broker.properties

The file has one KEY=VALUE a line, with Kafka's keys. Standard output has JSON lines alone; one
of them says that the broker is ready, and where.
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--config",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of KEY=VALUE settings.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Overrides the file.",
    shell_complete=suggest.setting_keys("broker", end="="),
)
def command(config: Path, sets: tuple[str, ...]) -> int:
    """Run a broker from a configuration file, for production."""
    settings = settings_of(config, sets, {}, {})
    from headrace.server.main import run  # only once the settings are known to be good

    return run(settings, for_people=False, ready_line=False)
