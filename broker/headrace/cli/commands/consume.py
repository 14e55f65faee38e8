"""`headrace consume`."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from headrace.cli import bounds, suggest
from headrace.cli.absence import Absence
from headrace.cli.fault import Failure
from headrace.cli.moment import Moment
from headrace.cli.output import Output
from headrace.cli.printing import Printer
from headrace.cli.progress import Progress
from headrace.cli.record_format import formatter
from headrace.cli.session import connected
from headrace.cli.topics import known_topic
from headrace.cli.waiting import AtEnd, Joining
from headrace.client.cluster import Cluster
from headrace.client.consumer import Consumer, TopicPartition
from headrace.client.offsets import EARLIEST, LATEST, list_offsets
from headrace.client.settings import ConsumerSettings

POLL_MS = 200

_TO_END_PATIENCE_MS = 10_000
"""Time for a broker to restart or a leader to move; longer would look as if it hung."""

_BEYOND = "OFFSET_OUT_OF_RANGE"

_EPILOG = """\b
Examples:
  headrace consume raw --no-follow | grep -i apache
  headrace consume raw --offset 100 -n 10 --format '%p %o %T %k %v'
  headrace consume raw --timestamp 2026-11-23T21:30:00Z --no-follow
  headrace consume raw --group readers

It starts at the end and follows, like tail -f; with --no-follow it starts at the beginning and
stops at the end as it was when it started, like cat. A group goes on where it stopped. A topic
that is not there is an error, and is not made.

\b
A pattern for --format has
  %v %s  the value         %o  the offset        %S  the value's length
  %k     the key           %p  the partition     %K  the key's length
  %h     the headers       %T  the timestamp     %t  the topic

and \\n \\t \\0; a line end is added unless it ends in one. Records come in order within each
partition; a topic with several gives them as they arrive.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """At a timestamp (or EARLIEST, LATEST), or at an offset; a negative one is from the end."""

    timestamp: int = LATEST
    offset: int | None = None


@click.command(epilog=_EPILOG)
@click.argument("topic", shell_complete=suggest.topics)
@click.option("--from-beginning", is_flag=True, help="Start at the first record.")
@click.option(
    "--offset",
    type=bounds.OFFSET_OR_BEFORE_END,
    metavar="N",
    help="Start at this offset; -N starts N records before the end.",
)
@click.option(
    "--timestamp",
    type=Moment(),
    metavar="TIME",
    help="Start at a time: ISO 8601 (local time unless it has a zone) or ms since 1970.",
)
@click.option(
    "-p",
    "--partition",
    "partitions",
    type=bounds.PARTITION,
    multiple=True,
    metavar="N",
    help="Only this partition; may be repeated.",
)
@click.option(
    "-g",
    "--group",
    metavar="NAME",
    help="Read as a member of this group, and commit.",
    shell_complete=suggest.groups,
)
@click.option("-n", "--count", type=click.IntRange(1), metavar="N", help="Stop after N records.")
@click.option(
    "--follow/--no-follow",
    default=True,
    help="Wait for new records, or stop at the end  [default: follow].",
)
@click.option("-e", "--exit-at-end", is_flag=True, help="The same as --no-follow.")
@click.option(
    "-f",
    "--format",
    "form",
    metavar="FORM",
    help="value, key-value (with a tab between), json, or a pattern  [default: value].",
)
@connected
async def command(
    cluster: Cluster,
    output: Output,
    topic: str,
    from_beginning: bool,
    offset: int | None,
    timestamp: int | None,
    partitions: tuple[int, ...],
    group: str | None,
    count: int | None,
    follow: bool,
    exit_at_end: bool,
    form: str | None,
) -> None:
    """Write a topic's records to standard output.

    `-o json` is the same as --format json: an object a line.
    """
    start = _start(from_beginning, offset, timestamp, follow and not exit_at_end)
    form = form or ("json" if output.as_json else "value")
    try:
        printer = Printer(formatter(form), values_only=form == "value", limit=count)
    except ValueError as error:
        raise click.UsageError(f"--format: {error}.") from None
    to_end = exit_at_end or not follow
    try:
        await known_topic(cluster, topic)
        if group is None:
            await _read(cluster, topic, partitions, start, printer, to_end=to_end)
            return
        if partitions or offset is not None or timestamp is not None:
            raise click.UsageError(
                "--group reads what the group assigns, from where it stopped: it does not go with"
                " --partition, --offset or --timestamp (`headrace group reset` moves a group)."
            )
        beginning = start.timestamp == EARLIEST
        await _read_as_member(cluster, topic, group, printer, to_end=to_end, beginning=beginning)
    except asyncio.CancelledError:
        if to_end or count is not None:
            raise
        # Ctrl-C is how following ends.


def _start(beginning: bool, offset: int | None, timestamp: int | None, follow: bool) -> _Start:
    if beginning + (offset is not None) + (timestamp is not None) > 1:
        raise click.UsageError("Give only one of --from-beginning, --offset and --timestamp.")
    if offset is not None:
        return _Start(offset=offset)
    if timestamp is not None:
        return _Start(timestamp=timestamp)
    return _Start(timestamp=EARLIEST if beginning or not follow else LATEST)


async def _read(
    cluster: Cluster,
    topic: str,
    partitions: tuple[int, ...],
    start: _Start,
    printer: Printer,
    *,
    to_end: bool,
) -> None:
    found = await cluster.topic(topic)
    wanted = [(topic, p) for p in partitions or range(len(found.partitions))]
    for _, index in wanted:
        await cluster.partition(topic, index)
    ends = await list_offsets(cluster, dict.fromkeys(wanted, LATEST))
    positions = await _positions(cluster, wanted, start, ends)
    remaining = {p for p in wanted if positions[p] < ends[p]} if to_end else set(wanted)
    total = sum(ends[p] - positions[p] for p in remaining) if to_end else None
    at_end = AtEnd(topic, follows=not to_end)
    with Progress(f"consume {topic}", total, bytes_counted=False, shown=_bar_wanted()) as bar:
        absence = Absence(to_end=to_end)
        async with Consumer(cluster, _patience(to_end), absence.tell) as consumer:
            await consumer.assign({p: positions[p] for p in remaining})
            while remaining and not printer.full:
                at_end.look(consumer.positions, ends)
                fetched = await consumer.poll()
                if fetched is None:
                    continue
                printer.print(fetched)
                bar.at(printer.count)
                partition = (fetched.topic, fetched.partition)
                if to_end and fetched.next_offset >= ends[partition]:
                    remaining.discard(partition)
                    consumer.drop(partition)


async def _read_as_member(
    cluster: Cluster, topic: str, group: str, printer: Printer, *, to_end: bool, beginning: bool
) -> None:
    from headrace.client.group import GroupConsumer  # a tenth of the start, needed only here

    ends: dict[TopicPartition, int] = {}
    at_end = AtEnd(topic, follows=not to_end)
    consumer = GroupConsumer(
        cluster,
        group,
        [topic],
        from_beginning=beginning,
        settings=_patience(to_end),
        on_trouble=Absence(to_end=to_end).tell,
    )
    with Joining(group) as joining:
        async with consumer as member:
            while not printer.full:
                fetched = await member.poll(POLL_MS)
                joining.over()
                if fetched is not None:
                    # What is committed is what was written, also where --count stops inside a
                    # batch.
                    partition = (fetched.topic, fetched.partition)
                    member.positions[partition] = printer.print(fetched)
                if (to_end or at_end.due) and member.assigned.is_set():
                    new = [p for p in member.positions if p not in ends]
                    ends.update(await list_offsets(cluster, dict.fromkeys(new, LATEST)))
                    at_end.look(member.positions, ends)
                    if to_end and all(o >= ends[p] for p, o in member.positions.items()):
                        break


async def _positions(
    cluster: Cluster,
    wanted: Sequence[TopicPartition],
    start: _Start,
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """The offset to start at in each partition."""
    if start.offset is None:
        if start.timestamp == LATEST:
            return dict(ends)
        found = await list_offsets(cluster, dict.fromkeys(wanted, start.timestamp))
        return {p: ends[p] if offset < 0 else offset for p, offset in found.items()}
    firsts = await list_offsets(cluster, dict.fromkeys(wanted, EARLIEST))
    if start.offset >= 0:
        for p in wanted:
            if not firsts[p] <= start.offset <= ends[p]:
                raise Failure(_no_such_offset(p, start.offset, firsts[p], ends[p]), code=_BEYOND)
        return dict.fromkeys(wanted, start.offset)
    return {p: max(firsts[p], ends[p] + start.offset) for p in wanted}


def _no_such_offset(partition: TopicPartition, offset: int, first: int, end: int) -> str:
    topic, index = partition
    there = f"its offsets are {first} to {end - 1}" if first < end else "it has no records"
    return (
        f"Partition {index} of topic {topic} has no offset {offset}: {there}, and the next is"
        f" {end}; `headrace topic describe {topic}` shows them"
    )


def _patience(to_end: bool) -> ConsumerSettings:
    """Who follows waits until the broker is back; who reads to the end wants it now."""
    return ConsumerSettings(unreachable_timeout_ms=_TO_END_PATIENCE_MS if to_end else None)


def _bar_wanted() -> bool:
    """Where records go to the terminal themselves, a bar would be in their way."""
    return not sys.stdout.isatty()
