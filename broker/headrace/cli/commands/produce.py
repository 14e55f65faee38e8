"""`headrace produce`."""

import asyncio
import contextlib
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from os import fstat

import click

from headrace.cli import bounds, json_records, suggest, unterminated
from headrace.cli.fault import Failure
from headrace.cli.output import Output, counted, size_text
from headrace.cli.progress import Progress
from headrace.cli.session import connected
from headrace.cli.stdio import STDIN, Lines, read_lines
from headrace.client.batch import now_ms
from headrace.client.cluster import Cluster
from headrace.client.errors import ClientError, RecordsRefused
from headrace.client.producer import Producer
from headrace.client.settings import CODECS, ProducerSettings
from headrace.wire.records import Header, NewRecord

CTRL_C_FLUSH_S = 5
"""Ctrl-C still writes what was read, for as long as somebody waits who has pressed it."""

LINE_BYTES_MAX = 64 * 1024 * 1024
"""A line is held whole; past this the input is hardly lines."""

_EPILOG = """\b
Examples:
  cat LICENSE | headrace produce raw
  echo 'user-7:signed in' | headrace produce events --key-separator :
  headrace consume a -f json --no-follow | headrace produce b --format json

Each line is a record without its line end; an empty line is an empty record. A last line without
a line end gets the header headrace.unterminated, so that `headrace consume` can give back the
same bytes. JSON lines take key, value, headers and timestamp (ms since 1970); key_base64 and
value_base64 are for bytes that are not text. The topic, partition and offset that `headrace
consume` writes are passed over: TOPIC and --partition say where records go.
"""

_ACKS = {"all": -1, "-1": -1, "1": 1, "0": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    topic: str
    partition: int | None
    headers: tuple[Header, ...]
    parse: Callable[[bytes], NewRecord] | None
    """None: the whole line is the value."""


@dataclass(slots=True)
class _Read:
    """What came from standard input so far; counts up."""

    records: int = 0
    size_bytes: int = 0


@click.command(epilog=_EPILOG)
@click.argument("topic", shell_complete=suggest.topics)
@click.option(
    "--format",
    "form",
    type=click.Choice(["lines", "json"]),
    default="lines",
    show_default=True,
    help="What a line of input is.",
)
@click.option("-K", "--key-separator", metavar="TEXT", help="Lines are key, this text, value.")
@click.option("-p", "--partition", type=bounds.PARTITION, help="Write to this partition only.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header.")
@click.option("--acks", type=click.Choice(list(_ACKS)), default="all", show_default=True)
@click.option(
    "-z", "--compression", type=click.Choice(list(CODECS)), default="none", show_default=True
)
@click.option(
    "--timeout",
    "timeout_s",
    type=bounds.Seconds(),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Give up when a record cannot be written for so long.",
)
@connected
async def command(
    cluster: Cluster,
    output: Output,
    topic: str,
    form: str,
    key_separator: str | None,
    partition: int | None,
    headers: tuple[str, ...],
    acks: str,
    compression: str,
    timeout_s: float,
) -> None:
    """Write lines from standard input to a topic."""
    settings = ProducerSettings(
        acks=_ACKS[acks], compression=compression, delivery_timeout_ms=int(timeout_s * 1000)
    )
    target = _Target(
        topic=topic,
        partition=partition,
        headers=tuple(_parse_header(text) for text in headers),
        parse=_parser(form, key_separator),
    )
    if sys.stdin.isatty():
        click.echo(f"Type lines for {topic}; Ctrl-D ends.", err=True)
    began = time.monotonic()
    read = _Read()
    async with Producer(cluster, settings) as producer:
        try:
            await _stream(producer, target, read)
            await producer.flush()
        except _BadLine:
            await producer.flush()
            raise
        except RecordsRefused as refused:
            with contextlib.suppress(ClientError):
                await producer.flush()  # the other partitions' lines
            raise _refused_line(refused, producer.records_acknowledged) from None
        except asyncio.CancelledError:
            await _finish(producer, read)
            raise
    records, size_bytes = read.records, read.size_bytes
    seconds = time.monotonic() - began
    fields = {"topic": topic, "records": records, "bytes": size_bytes, "seconds": round(seconds, 3)}
    if output.as_json:
        output.result(fields)
    elif sys.stderr.isatty():
        speed = f"{records / seconds:,.0f} a second" if seconds else ""
        click.echo(
            f"{counted(records, 'record')} ({size_text(size_bytes)}) written to {topic}"
            f" in {seconds:.2f} s ({speed})",
            err=True,
        )


async def _finish(producer: Producer, read: _Read) -> None:
    """On Ctrl-C: write what was read, and tell what could not be written in time."""
    flush = asyncio.create_task(producer.flush())
    await asyncio.wait([flush], timeout=CTRL_C_FLUSH_S)
    why = ""
    if not flush.done():
        flush.cancel()
    elif flush.exception() is not None:
        why = f": {flush.exception()}"
    lost = read.records - producer.records_acknowledged
    if lost:
        lines = f"{counted(lost, 'line')} of standard input"
        click.echo(f"headrace: not known to be written: {lines}{why}.", err=True)


async def _stream(producer: Producer, target: _Target, read: _Read) -> None:
    """All of standard input into the producer, counted in `read`."""
    await producer.partitions(target.topic)
    with Progress(
        f"produce {target.topic}", _input_bytes(), bytes_counted=True, shown=not sys.stdin.isatty()
    ) as progress:
        try:
            async for chunk in read_lines(LINE_BYTES_MAX):
                before = read.records
                read.records += len(chunk.lines)
                await _send(producer, target, chunk, before)
                read.size_bytes += sum(map(len, chunk.lines)) + len(chunk.lines)
                read.size_bytes -= not chunk.terminated
                progress.at(read.size_bytes)
        except ValueError as error:
            raise _BadLine(read.records + 1, str(error)) from None


async def _send(producer: Producer, target: _Target, chunk: Lines, before: int) -> None:
    bare = target.parse is None and not target.headers
    if bare and chunk.terminated:
        await producer.send_values(target.topic, chunk.lines, partition=target.partition)
        return
    mark = () if chunk.terminated or target.parse is not None else (unterminated.HEADER,)
    for number, line in enumerate(chunk.lines, before + 1):
        try:
            record = target.parse(line) if target.parse else NewRecord(None, line, now_ms())
        except ValueError as error:
            raise _BadLine(number, str(error)) from None
        await producer.send(
            target.topic,
            record.value,
            key=record.key,
            headers=(*record.headers, *target.headers, *mark),
            partition=target.partition,
            timestamp_ms=record.timestamp,
        )


def _parser(form: str, key_separator: str | None) -> Callable[[bytes], NewRecord] | None:
    if form == "json":
        if key_separator is not None:
            raise click.UsageError("--key-separator is for lines, not for --format json.")
        return lambda line: json_records.read_record(line, now_ms())
    if key_separator is None:
        return None
    if not key_separator:
        raise click.UsageError("--key-separator must not be empty.")
    try:
        separator = key_separator.encode().decode("unicode_escape").encode("latin-1")
    except UnicodeError:
        raise click.UsageError(
            f"--key-separator {key_separator!r} is neither text nor an escape like \\t or \\x1f."
        ) from None

    def parse(line: bytes) -> NewRecord:
        key, found, value = line.partition(separator)
        if not found:
            raise ValueError(f"there is no {key_separator!r} in it to end the key")
        return NewRecord(key, value, now_ms())

    return parse


def _parse_header(text: str) -> Header:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--header {text!r} is not of the form NAME=VALUE.")
    return Header(name, value.encode())


def _input_bytes() -> int | None:
    """How much there is to read, where standard input is a file."""
    status = fstat(STDIN)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _refused_line(refused: RecordsRefused, written: int) -> Failure:
    line, count = refused.first + 1, refused.count
    what = f"Line {line}" if count == 1 else f"A batch of the {count:,} lines from line {line} on"
    return Failure(
        f"{what} of standard input was not written. {refused}. {counted(written, 'line')} of"
        " standard input written, no others",
        code=refused.code.name,
    )


class _BadLine(Failure):
    def __init__(self, number: int, why: str) -> None:
        super().__init__(
            f"Line {number} of standard input cannot be sent: {why}. The lines before it were"
            " written, this one and those behind it were not",
            code="BAD_LINE",
        )
