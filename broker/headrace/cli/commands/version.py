"""`headrace version`."""

import platform

import click

from headrace.base.version import VERSION
from headrace.cli.output import Output, output_option

KAFKA = "4.3"
PYTHON = platform.python_version()
LINE = f"headrace {VERSION} (Kafka {KAFKA} protocol, Python {PYTHON})"


@click.command(epilog="\b\nExample:\n  headrace version -o json")
@output_option
def command(output: Output) -> None:
    """Show the version."""
    fields = {"version": VERSION, "kafka_protocol": KAFKA, "python": PYTHON}
    output.result(fields, LINE)
