"""`headrace group`."""

import functools

import click

from headrace.cli import bounds, suggest
from headrace.cli.commands import Group
from headrace.cli.moment import Moment
from headrace.cli.output import Output, Table, counted
from headrace.cli.session import confirm, connected, yes_option
from headrace.cli.several import delete_each
from headrace.client import group_admin
from headrace.client.cluster import Cluster
from headrace.client.group_admin import GroupStatus
from headrace.client.offsets import (
    EARLIEST,
    LATEST,
    TopicPartition,
    commit_offsets,
    committed_offsets,
    list_offsets,
)


@click.group(name="group", cls=Group, epilog="\b\nExample:\n  headrace group describe readers")
def command() -> None:
    """List, describe, reset and delete consumer groups."""


@command.command(name="list", epilog="\b\nExample:\n  headrace group list")
@connected
async def list_groups(cluster: Cluster, output: Output) -> None:
    """List the groups of all brokers."""
    groups = await group_admin.list_groups(cluster)
    fields = {
        "groups": [
            {"name": g.name, "state": g.state, "protocol_type": g.protocol_type, "type": g.kind}
            for g in groups
        ]
    }
    rows = [(g.name, g.state, g.protocol_type, g.kind) for g in groups]
    columns = ["GROUP", "STATE", "PROTOCOL", "TYPE"]
    output.result(fields, Table(columns=columns, rows=rows, empty="There are no groups."))


@command.command(epilog="\b\nExample:\n  headrace group describe readers")
@click.argument("name", shell_complete=suggest.groups)
@connected
async def describe(cluster: Cluster, output: Output, name: str) -> None:
    """Show a group's members, and how far it lags in each partition."""
    group = await group_admin.describe_group(cluster, name)
    committed = await committed_offsets(cluster, name)
    owners = _owners(group)
    partitions = sorted({*committed, *owners})
    known = (await cluster.refresh({topic for topic, _ in partitions})).topics
    living = [p for p in partitions if not known[p[0]].code and p[1] < len(known[p[0]].partitions)]
    ends = await list_offsets(cluster, dict.fromkeys(living, LATEST))
    lines = []
    for partition in partitions:
        offset, end = committed.get(partition), ends.get(partition)
        lag = max(0, end - offset) if offset is not None and end is not None else None
        lines.append((*partition, offset, end, lag, owners.get(partition)))
    fields = {
        "name": name,
        "state": group.state,
        "protocol_type": group.protocol_type,
        "assignor": group.assignor,
        "coordinator": group.coordinator,
        "members": [
            {
                "member_id": m.member_id,
                "client_id": m.client_id,
                "host": m.host,
                "instance_id": m.instance_id,
                "assigned": {topic: list(indexes) for topic, indexes in m.assigned.items()},
            }
            for m in group.members
        ],
        "offsets": [
            {
                "topic": topic,
                "partition": index,
                "committed_offset": offset,
                "log_end_offset": end,
                "lag": lag,
                "member_id": member,
            }
            for topic, index, offset, end, lag, member in lines
        ],
    }
    columns = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"]
    head = f"{name}  {group.state}, {counted(len(group.members), 'member')}"
    if group.assignor:
        head += f", assignor {group.assignor}"
    head += f", coordinator {group.coordinator}"
    empty = "It has committed nothing."
    output.result(fields, head, Table(columns=columns, rows=lines, empty=empty))


@command.command(
    epilog="""\b
Example:
  headrace group reset readers --topic raw --to-beginning --dry-run
  headrace group reset readers --to-timestamp 2026-11-23T21:30:00Z --yes

The group must have no members: stop its consumers first.
"""
)
@click.argument("name", shell_complete=suggest.groups)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    help="Only this topic [all it has committed].",
    shell_complete=suggest.topics,
)
@click.option("--to-beginning", is_flag=True, help="To the first record.")
@click.option("--to-end", is_flag=True, help="To the end: skip what is there.")
@click.option("--to-offset", type=bounds.OFFSET, metavar="N", help="To this offset.")
@click.option(
    "--to-timestamp",
    type=Moment(),
    metavar="TIME",
    help="To the first record since: ISO 8601 (local time unless it has a zone) or ms since 1970.",
)
@click.option("--dry-run", is_flag=True, help="Only show what it would do.")
@yes_option
@connected
async def reset(
    cluster: Cluster,
    output: Output,
    name: str,
    topics: tuple[str, ...],
    to_beginning: bool,
    to_end: bool,
    to_offset: int | None,
    to_timestamp: int | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Move a group to other offsets."""
    given = to_beginning + to_end + (to_offset is not None) + (to_timestamp is not None)
    if given != 1:
        raise click.UsageError(
            "Give one of --to-beginning, --to-end, --to-offset and --to-timestamp."
        )
    before = await committed_offsets(cluster, name)
    partitions = await _partitions(cluster, topics, before)
    if not partitions:
        raise click.UsageError(f"Group {name!r} has committed nothing: name topics with --topic.")
    after = await _targets(cluster, partitions, to_beginning, to_offset, to_timestamp)
    if not dry_run:
        confirm(f"Move group {name} in {counted(len(partitions), 'partition')}?", yes=yes)
        await commit_offsets(cluster, name, after)
    fields = {
        "group": name,
        "dry_run": dry_run,
        "offsets": [
            {"topic": t, "partition": i, "before": before.get((t, i)), "after": after[t, i]}
            for t, i in partitions
        ],
    }
    rows = [(t, i, before.get((t, i)), after[t, i]) for t, i in partitions]
    output.result(fields, Table(columns=["TOPIC", "PARTITION", "BEFORE", "AFTER"], rows=rows))


@command.command(epilog="\b\nExample:\n  headrace group delete readers --yes")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=suggest.groups)
@yes_option
@connected
async def delete(cluster: Cluster, output: Output, names: tuple[str, ...], yes: bool) -> None:
    """Delete groups and their committed offsets."""
    shown = ", ".join(names)
    confirm(f"Delete {shown} and all committed offsets?", yes=yes)
    await delete_each(names, functools.partial(group_admin.delete_group, cluster))
    output.result({"deleted": list(names)}, f"Deleted {shown}.")


def _owners(group: GroupStatus) -> dict[TopicPartition, str]:
    return {
        (topic, index): member.member_id
        for member in group.members
        for topic, indexes in member.assigned.items()
        for index in indexes
    }


async def _partitions(
    cluster: Cluster, topics: tuple[str, ...], committed: dict[TopicPartition, int]
) -> list[TopicPartition]:
    """What a reset touches: all of the named topics, or what the group has committed."""
    if not topics:
        return sorted(committed)
    return [(t, p.index) for t in topics for p in (await cluster.topic(t)).partitions]


async def _targets(
    cluster: Cluster,
    partitions: list[TopicPartition],
    to_beginning: bool,
    to_offset: int | None,
    to_timestamp: int | None,
) -> dict[TopicPartition, int]:
    """The new offsets, never outside of what the partition holds."""
    firsts = await list_offsets(cluster, dict.fromkeys(partitions, EARLIEST))
    ends = await list_offsets(cluster, dict.fromkeys(partitions, LATEST))
    if to_beginning:
        return firsts
    if to_offset is not None:
        for topic, index in partitions:
            first, end = firsts[topic, index], ends[topic, index]
            if not first <= to_offset <= end:
                click.echo(
                    f"headrace: {topic}-{index} has the offsets {first} to {end}, not {to_offset}:"
                    " the group goes to the nearest of them.",
                    err=True,
                )
        return {p: min(max(to_offset, firsts[p]), ends[p]) for p in partitions}
    if to_timestamp is not None:
        found = await list_offsets(cluster, dict.fromkeys(partitions, to_timestamp))
        return {p: ends[p] if offset < 0 else offset for p, offset in found.items()}
    return ends
