"""Results on stdout: a table for people, one JSON object for programs.

On a terminal tables are rich's; in a pipe they are plain columns, so that `awk` and `cut` read
them and nothing of rich is loaded.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from headrace.cli.fault import colour_allowed

Cell = str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a head. Numbers stand to the right; None is shown as a dash."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    empty: str = ""
    """What is said on stderr where there are no rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a command's result goes."""

    as_json: bool

    def result(self, fields: Mapping[str, Any], *shown: Table | str) -> None:
        """The result: `fields` as JSON, or else the tables and lines that show it."""
        if self.as_json:
            import json

            write(json.dumps(fields, ensure_ascii=False) + "\n")
            return
        for part in shown:
            if isinstance(part, str):
                write(part + "\n")
            elif part.rows:
                _show(part)
            elif part.empty:
                sys.stderr.write(part.empty + "\n")


def write(text: str) -> None:
    """To stdout, at once: whoever reads the pipe sees whole lines."""
    sys.stdout.write(text)
    sys.stdout.flush()


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds -o/--output, which arrives as `output: Output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        callback=lambda _ctx, _param, value: Output(as_json=value == "json"),
        help="text for people, json (one object, errors too) for programs.",
    )(function)


def _show(table: Table) -> None:
    if sys.stdout.isatty():
        _show_on_terminal(table)
        return
    rows = [list(table.columns), *([_text(cell, plain=True) for cell in row] for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    numeric = [_is_numeric(table, column) for column in range(len(table.columns))]
    for row in rows:
        cells = (
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numeric, strict=True)
        )
        write("  ".join(cells).rstrip() + "\n")


def _show_on_terminal(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for index, column in enumerate(table.columns):
        justify = "right" if _is_numeric(table, index) else "left"
        shown.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in table.rows:
        shown.add_row(*(_text(cell, plain=False) for cell in row))
    console = Console(no_color=not colour_allowed(sys.stdout), highlight=False, markup=False)
    console.print(shown)


def _is_numeric(table: Table, column: int) -> bool:
    cells = [row[column] for row in table.rows]
    return any(isinstance(c, int) for c in cells) and not any(isinstance(c, str) for c in cells)


def _text(cell: Cell, *, plain: bool) -> str:
    if cell is None or cell == "":
        return "-"
    return f"{cell:,}" if isinstance(cell, int) and not plain else str(cell)


def counted(number: int, what: str) -> str:
    """A number of things in words: 1 record, 2,000 records."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def size_text(size_bytes: int) -> str:
    """Bytes for people, in units of 1024."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
