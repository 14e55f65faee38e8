"""`headrace topic`."""

import functools
from typing import Any

import click

from headrace.cli import bounds, suggest
from headrace.cli.commands import Group
from headrace.cli.output import Output, Table, counted, size_text
from headrace.cli.session import confirm, connected, parse_pairs, yes_option
from headrace.cli.setting_names import check_unset
from headrace.cli.several import delete_each
from headrace.cli.topics import guard_internal, known_topic
from headrace.client import admin
from headrace.client.cluster import Cluster
from headrace.client.metadata import Topic
from headrace.client.offsets import EARLIEST, LATEST, TopicPartition, list_offsets

_SET = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A topic setting.",
    shell_complete=suggest.setting_keys("topic", end="="),
)

_internal_option = click.option(
    "--internal", is_flag=True, help="Also where it is one of the broker's own topics."
)


@click.group(
    name="topic", cls=Group, epilog="\b\nExample:\n  headrace topic create events --partitions 4"
)
def command() -> None:
    """Create, list, describe, alter and delete topics."""


@command.command(
    epilog="\b\nExample:\n  headrace topic create events --partitions 4 --set retention.ms=86400000"
)
@click.argument("name")
@click.option("--partitions", type=bounds.PARTITIONS, help="Partitions [the broker's setting].")
@click.option("--replicas", type=bounds.REPLICAS, help="Replicas [the broker's setting].")
@_SET
@connected
async def create(
    cluster: Cluster,
    output: Output,
    name: str,
    partitions: int | None,
    replicas: int | None,
    sets: tuple[str, ...],
) -> None:
    """Create a topic."""
    topic_id = await admin.create_topic(
        cluster,
        name,
        partitions=partitions or admin.BROKER_DEFAULT,
        replication_factor=replicas or admin.BROKER_DEFAULT,
        settings=parse_pairs(sets, "--set"),
    )
    count = len((await cluster.topic(name, create=True)).partitions)
    fields = {"topic": name, "topic_id": topic_id and str(topic_id), "partitions": count}
    output.result(fields, f"Created {name} with {counted(count, 'partition')}.")


@command.command(name="list", epilog="\b\nExample:\n  headrace topic list -o json")
@click.option("--internal", is_flag=True, help="Show internal topics, too.")
@connected
async def list_topics(cluster: Cluster, output: Output, internal: bool) -> None:
    """List the topics."""
    topics = [t for t in await admin.list_topics(cluster) if internal or not t.internal]
    fields = {
        "topics": [
            {
                "name": t.name,
                "topic_id": str(t.topic_id),
                "partitions": len(t.partitions),
                "replicas": _replicas(t),
                "internal": t.internal,
            }
            for t in topics
        ]
    }
    rows = [(t.name, len(t.partitions), _replicas(t)) for t in topics]
    empty = "There are no topics yet: `headrace topic create NAME` makes one."
    output.result(
        fields, Table(columns=["TOPIC", "PARTITIONS", "REPLICAS"], rows=rows, empty=empty)
    )


@command.command(epilog="\b\nExample:\n  headrace topic describe events")
@click.argument("name", shell_complete=suggest.topics)
@connected
async def describe(cluster: Cluster, output: Output, name: str) -> None:
    """Show a topic's partitions, and the settings that are not the default."""
    topic = await known_topic(cluster, name)
    partitions: list[TopicPartition] = [(name, p.index) for p in topic.partitions]
    firsts = await list_offsets(cluster, dict.fromkeys(partitions, EARLIEST))
    ends = await list_offsets(cluster, dict.fromkeys(partitions, LATEST))
    sizes = await _sizes(cluster, topic)
    settings = [s for s in await admin.describe_settings(cluster, "topic", name) if _is_own(s)]
    fields = {
        "name": name,
        "topic_id": str(topic.topic_id),
        "internal": topic.internal,
        "partitions": [
            {
                "partition": p.index,
                "leader": p.leader,
                "leader_epoch": p.leader_epoch,
                "replicas": list(p.replicas),
                "isr": list(p.isr),
                "log_start_offset": firsts[name, p.index],
                "log_end_offset": ends[name, p.index],
                "size_bytes": sizes.get((name, p.index)),
            }
            for p in topic.partitions
        ],
        "settings": {s.name: s.value for s in settings},
    }
    rows = [
        (
            p.index,
            p.leader,
            _ids(p.replicas),
            _ids(p.isr),
            firsts[name, p.index],
            ends[name, p.index],
            size_text(sizes[name, p.index]) if (name, p.index) in sizes else None,
        )
        for p in topic.partitions
    ]
    columns = ["PARTITION", "LEADER", "REPLICAS", "ISR", "START", "END", "SIZE"]
    shown: list[Table | str] = [
        f"{name}  {topic.topic_id}",
        Table(columns=columns, rows=rows),
    ]
    if settings:
        own = [(s.name, s.value, s.source) for s in settings]
        shown += ["", Table(columns=["SETTING", "VALUE", "SET FOR"], rows=own)]
    output.result(fields, *shown)


@command.command(
    epilog="\b\nExample:\n  headrace topic alter events --partitions 8 --set retention.ms=3600000"
)
@click.argument("name", shell_complete=suggest.topics)
@click.option("--partitions", type=bounds.PARTITIONS, help="Grow to so many partitions.")
@_SET
@click.option(
    "--unset",
    multiple=True,
    metavar="KEY",
    help="Return a setting to its default.",
    shell_complete=suggest.setting_keys("topic"),
)
@_internal_option
@connected
async def alter(
    cluster: Cluster,
    output: Output,
    name: str,
    partitions: int | None,
    sets: tuple[str, ...],
    unset: tuple[str, ...],
    internal: bool,
) -> None:
    """Grow a topic, or change its settings."""
    set_to = parse_pairs(sets, "--set")
    if not (partitions or set_to or unset):
        raise click.UsageError("Nothing to change: give --partitions, --set or --unset.")
    if partitions:
        loses = "with more partitions, groups look for their committed offsets where they are not"
        await guard_internal(cluster, [name], allowed=internal, loses=loses)
    await check_unset(cluster, "topic", name, unset)
    done: dict[str, Any] = {"topic": name}
    if set_to or unset:
        await admin.alter_settings(cluster, "topic", name, set_to=set_to, unset=unset)
        done |= {"set": set_to, "unset": list(unset)}
    if partitions:
        await admin.create_partitions(cluster, name, partitions)
        done["partitions"] = partitions
    count = f": it has {counted(partitions, 'partition')} now" if partitions else ""
    output.result(done, f"Changed {name}{count}.")


@command.command(epilog="\b\nExample:\n  headrace topic delete events --yes")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=suggest.topics)
@_internal_option
@yes_option
@connected
async def delete(
    cluster: Cluster, output: Output, names: tuple[str, ...], internal: bool, yes: bool
) -> None:
    """Delete topics and their records."""
    confirm(f"Delete {', '.join(names)} and all records in {_it(names)}?", yes=yes)
    loses = "with it go the committed offsets of every group"
    await guard_internal(cluster, names, allowed=internal, loses=loses)
    await delete_each(names, functools.partial(admin.delete_topic, cluster))
    output.result({"deleted": list(names)}, f"Deleted {', '.join(names)}.")


async def _sizes(cluster: Cluster, topic: Topic) -> dict[TopicPartition, int]:
    sizes: dict[TopicPartition, int] = {}
    for leader in sorted({p.leader for p in topic.partitions}):
        sizes |= await admin.log_sizes(cluster, leader)
    return sizes


def _it(names: tuple[str, ...]) -> str:
    return "it" if len(names) == 1 else "them"


def _is_own(setting: admin.Setting) -> bool:
    return setting.source not in ("default", "static")


def _replicas(topic: Topic) -> int:
    return max((len(p.replicas) for p in topic.partitions), default=0)


def _ids(ids: tuple[int, ...]) -> str:
    return ",".join(map(str, ids))
