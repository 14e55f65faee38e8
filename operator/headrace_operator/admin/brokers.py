"""Requests about brokers: who is there, and what a broker holds. Raises ClientError."""

from typing import TypeAlias

from headrace.client.admin import log_sizes
from headrace.client.cluster import Cluster
from headrace.client.errors import NoSuchBroker

Partition: TypeAlias = tuple[str, int]


async def brokers_alive(cluster: Cluster) -> frozenset[int]:
    """The ids of the brokers that are registered now."""
    return frozenset((await cluster.refresh(())).brokers)


async def partitions_held(cluster: Cluster, broker_id: int) -> tuple[Partition, ...]:
    """What stands in the broker's log folders, sorted. Raises NoSuchBroker where it is away."""
    if broker_id not in await brokers_alive(cluster):
        raise NoSuchBroker(f"Broker {broker_id} is not in the cluster now")
    return tuple(sorted(await log_sizes(cluster, broker_id)))
