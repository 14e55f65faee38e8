"""`headrace cluster`."""

import click

from headrace.base.errors import Code
from headrace.cli.commands import Group
from headrace.cli.output import Output, Table, counted
from headrace.cli.session import connected
from headrace.client import admin
from headrace.client.cluster import Cluster


@click.group(name="cluster", cls=Group, epilog="\b\nExample:\n  headrace cluster status")
def command() -> None:
    """Show the state of the cluster."""


@command.command(epilog="\b\nExample:\n  headrace cluster status -b 127.0.0.1:9092")
@connected
async def status(cluster: Cluster, output: Output) -> None:
    """Show the brokers, and the partitions that lack something."""
    state = await admin.describe_cluster(cluster)
    listed = await admin.list_topics(cluster)
    topics = [t for t in listed if not t.internal]
    own = sum(len(t.partitions) for t in topics)
    internal = sum(len(t.partitions) for t in listed) - own
    partitions = [(t.name, p) for t in listed for p in t.partitions]
    leaderless = [f"{name}-{p.index}" for name, p in partitions if p.code is not Code.NONE]
    lacking = [f"{name}-{p.index}" for name, p in partitions if len(p.isr) < len(p.replicas)]
    fields = {
        "cluster_id": state.cluster_id,
        "controller": state.controller_id,
        "brokers": [
            {"id": b.node_id, "host": b.address.host, "port": b.address.port, "rack": b.rack}
            for b in state.brokers
        ],
        "topics": len(topics),
        "partitions": own,
        "internal_topics": len(listed) - len(topics),
        "internal_partitions": internal,
        "leaderless": leaderless,
        "under_replicated": lacking,
    }
    rows = [
        (
            b.node_id,
            str(b.address),
            b.rack,
            sum(p.leader == b.node_id for _, p in partitions),
            "controller" if b.node_id == state.controller_id else None,
        )
        for b in state.brokers
    ]
    columns = ["BROKER", "ADDRESS", "RACK", "LEADS", "ROLE"]
    output.result(
        fields,
        f"Cluster {state.cluster_id}: {counted(len(topics), 'topic')}, {counted(own, 'partition')}"
        f" (and {counted(internal, 'internal partition')})",
        Table(columns=columns, rows=rows),
        *_trouble("without a leader", leaderless),
        *_trouble("with fewer replicas in sync than they have", lacking),
    )


def _trouble(what: str, partitions: list[str]) -> list[str]:
    if not partitions:
        return []
    shown = ", ".join(partitions[:10]) + (", ..." if len(partitions) > 10 else "")
    return [f"{counted(len(partitions), 'partition')} {what}: {shown}"]
