"""`headrace log`."""

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from headrace.cli.commands import Group
from headrace.cli.fault import Failure
from headrace.cli.output import Output, output_option, write
from headrace.cli.segment_dump import (
    batch_fields,
    dump_segment,
    is_offsets_topic,
    segment_files,
)


@click.group(name="log", cls=Group, epilog="\b\nExample:\n  headrace log dump headrace-data/raw-0")
def command() -> None:
    """Look into a broker's files, without a broker."""


@command.command(
    epilog="""\b
Example:
  headrace log dump headrace-data/raw-0
  headrace log dump headrace-data/raw-0/00000000000000000000.log --records

Every batch is checked; exit code 1 if one is damaged. Records of __consumer_offsets are shown in
words.
"""
)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--records", is_flag=True, help="Show each record, not only batches.")
@output_option
def dump(path: Path, records: bool, output: Output) -> None:
    """Show the batches of a segment file, or of a partition's folder."""
    files = segment_files(path)
    if not files:
        raise Failure(
            f"{path} holds no segment: it is neither a .log file nor a partition's folder"
        )
    sink = _JsonSink() if output.as_json else _TextSink()
    faults = 0
    for file in files:
        sink.begin(file)
        decode = is_offsets_topic(file.absolute())
        for item in dump_segment(file):
            if isinstance(item, str):
                sink.end_of_file(item)
                faults += not item.startswith("zeros")
                continue
            fields = batch_fields(item, deep=records, decode=decode)
            faults += fields["fault"] is not None
            sink.batch(fields)
        sink.end()
    sink.close(faults)
    if faults:
        raise click.exceptions.Exit(1)


_COLUMNS: Final = {
    "POSITION": ("position", 10),
    "FIRST": ("base_offset", 9),
    "LAST": ("last_offset", 9),
    "RECORDS": ("records", 7),
    "BYTES": ("size_bytes", 7),
    "CODEC": ("codec", -6),
    "EPOCH": ("leader_epoch", 5),
    "PRODUCER": ("producer_id", 8),
    "SEQUENCE": ("base_sequence", 8),
    "NEWEST": ("max_timestamp", -20),
}
"""Head to a batch's field and the column's width; a negative one stands to the left."""

_WIDE_ONLY: Final = ("EPOCH", "PRODUCER", "SEQUENCE")
_WIDE_COLUMNS: Final = 110


class _TextSink:
    """Lines as they come: a segment has more batches than a table should wait for.

    On a terminal of 80 columns some columns are left out; a pipe has them all.
    """

    def __init__(self) -> None:
        wide = not sys.stdout.isatty() or shutil.get_terminal_size().columns >= _WIDE_COLUMNS
        self._columns = {n: c for n, c in _COLUMNS.items() if wide or n not in _WIDE_ONLY}
        if not wide:
            click.echo(
                f"{', '.join(_WIDE_ONLY)} take {_WIDE_COLUMNS} columns; pipes and -o json have"
                " them.",
                err=True,
            )

    def begin(self, file: Path) -> None:
        write(f"{file}\n")
        self._row({name: name for name in self._columns})

    def batch(self, fields: dict[str, Any]) -> None:
        self._row({name: _cell(key, fields[key]) for name, (key, _) in self._columns.items()})
        marks = [*fields["flags"], *([f"DAMAGED: {fields['fault']}"] if fields["fault"] else [])]
        if marks:
            write(f"{'':>10}  {', '.join(marks)}\n")
        for record in fields.get("content", ()):
            headers = "".join(f"  {name}={value}" for name, value in record["headers"])
            key = "" if record["key"] is None else f"{record['key']}: "
            value = "(none)" if record["value"] is None else record["value"]
            write(f"{'':>10}  {record['offset']:>10}  {key}{value}{headers}\n")

    def _row(self, cells: dict[str, str]) -> None:
        aligned = (
            cells[name].ljust(-width) if width < 0 else cells[name].rjust(width)
            for name, (_, width) in self._columns.items()
        )
        write("  ".join(aligned).rstrip() + "\n")

    def end_of_file(self, sentence: str) -> None:
        write(f"{sentence}\n")

    def end(self) -> None:
        write("\n")

    def close(self, faults: int) -> None:
        write(f"{faults} damaged\n" if faults else "no damage found\n")


class _JsonSink:
    """One object, written piece by piece: a partition's batches need not fit in memory."""

    def __init__(self) -> None:
        self._before_segment = '{"segments": ['
        self._before_batch = ""
        self._end: str | None = None

    def begin(self, file: Path) -> None:
        write(f'{self._before_segment}{{"file": {json.dumps(str(file))}, "batches": [')
        self._before_segment, self._before_batch, self._end = ", ", "", None

    def batch(self, fields: dict[str, Any]) -> None:
        write(self._before_batch + json.dumps(fields, ensure_ascii=False))
        self._before_batch = ", "

    def end_of_file(self, sentence: str) -> None:
        self._end = sentence

    def end(self) -> None:
        write(f'], "end": {json.dumps(self._end)}}}')

    def close(self, faults: int) -> None:
        write(f'], "faults": {faults}}}\n')


def _cell(key: str, value: str | int) -> str:
    if isinstance(value, str):
        return "none" if value == "uncompressed" else value
    if value < 0:
        return "-"
    if key != "max_timestamp":
        return str(value)
    moment = datetime.fromtimestamp(value / 1000, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
