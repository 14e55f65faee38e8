"""Topics, settings and the cluster itself, from outside. Groups are in `group_admin.py`.

Each function takes the Cluster and raises ClientError.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from headrace.client.cluster import Cluster
from headrace.client.errors import check
from headrace.client.metadata import Broker, Topic
from headrace.wire.versions import (
    CREATE_PARTITIONS,
    CREATE_TOPICS,
    DELETE_TOPICS,
    DESCRIBE_CLUSTER,
    DESCRIBE_CONFIGS,
    DESCRIBE_LOG_DIRS,
    INCREMENTAL_ALTER_CONFIGS,
)

BROKER_DEFAULT: Final = -1
"""Partitions or replicas as the broker's num.partitions and default.replication.factor say."""

RESOURCE_TYPES: Final = {"topic": 2, "broker": 4, "group": 32}
_SET, _DELETE = 0, 1
_SOURCES: Final = {
    1: "topic",
    2: "broker",
    3: "cluster",
    4: "static",
    5: "default",
    6: "logger",
    7: "client-metrics",
    8: "group",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. `source` is where its value comes from: topic, broker, cluster, default, ..."""

    name: str
    value: str | None
    source: str
    read_only: bool
    sensitive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A cluster as DescribeCluster shows it."""

    cluster_id: str
    controller_id: int
    brokers: tuple[Broker, ...]


async def list_topics(cluster: Cluster) -> list[Topic]:
    """All topics by name, internal ones included."""
    topics = (await cluster.refresh(None)).topics
    return [topics[name] for name in sorted(topics)]


async def create_topic(
    cluster: Cluster,
    name: str,
    *,
    partitions: int = BROKER_DEFAULT,
    replication_factor: int = BROKER_DEFAULT,
    settings: Mapping[str, str] | None = None,
    validate_only: bool = False,
) -> UUID | None:
    """Create a topic and return its id."""
    topic = {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": replication_factor,
        "assignments": [],
        "configs": [{"name": k, "value": v} for k, v in (settings or {}).items()],
    }
    fields = {
        "topics": [topic],
        "timeout_ms": cluster.request_timeout_ms,
        "validate_only": validate_only,
    }
    answer = (await cluster.request(CREATE_TOPICS, fields)).topics[0]
    check(answer.error_code, f"Creating topic {name!r}", answer.error_message)
    topic_id: UUID | None = getattr(answer, "topic_id", None)
    return topic_id


async def delete_topic(cluster: Cluster, name: str) -> None:
    """Delete a topic and its records."""
    fields = {
        "topics": [{"name": name, "topic_id": None}],
        "topic_names": [name],
        "timeout_ms": cluster.request_timeout_ms,
    }
    answer = (await cluster.request(DELETE_TOPICS, fields)).responses[0]
    check(answer.error_code, f"Deleting topic {name!r}", getattr(answer, "error_message", None))
    cluster.forget(name)


async def create_partitions(cluster: Cluster, topic: str, count: int) -> None:
    """Grow a topic to `count` partitions. Keys may then go to other partitions than before."""
    fields = {
        "topics": [{"name": topic, "count": count, "assignments": None}],
        "timeout_ms": cluster.request_timeout_ms,
        "validate_only": False,
    }
    answer = (await cluster.request(CREATE_PARTITIONS, fields)).results[0]
    what = f"Growing topic {topic!r} to {count} partitions"
    check(answer.error_code, what, answer.error_message)
    cluster.forget(topic)


async def describe_settings(cluster: Cluster, resource: str, name: str) -> list[Setting]:
    """The settings of a topic, broker or group, by name. An empty broker name: the defaults."""
    wanted = {
        "resource_type": RESOURCE_TYPES[resource],
        "resource_name": name,
        "configuration_keys": None,
    }
    fields = {"resources": [wanted], "include_synonyms": False, "include_documentation": False}
    answer = (
        await cluster.request(DESCRIBE_CONFIGS, fields, node_id=_answering(resource, name))
    ).results[0]
    check(answer.error_code, f"Settings of {resource} {name!r}", answer.error_message)
    settings = (
        Setting(
            name=c.name,
            value=c.value,
            source=_SOURCES.get(c.config_source, "unknown"),
            read_only=c.read_only,
            sensitive=c.is_sensitive,
        )
        for c in answer.configs
    )
    return sorted(settings, key=lambda s: s.name)


async def alter_settings(
    cluster: Cluster,
    resource: str,
    name: str,
    *,
    set_to: Mapping[str, str],
    unset: Sequence[str] = (),
) -> None:
    """Set some settings and return others to their defaults; the rest stays as it is."""
    changes = [{"name": k, "config_operation": _SET, "value": v} for k, v in set_to.items()]
    changes += [{"name": k, "config_operation": _DELETE, "value": None} for k in unset]
    wanted = {
        "resource_type": RESOURCE_TYPES[resource],
        "resource_name": name,
        "configs": changes,
    }
    fields = {"resources": [wanted], "validate_only": False}
    node_id = _answering(resource, name)
    answer = await cluster.request(INCREMENTAL_ALTER_CONFIGS, fields, node_id=node_id)
    first = answer.responses[0]
    check(first.error_code, f"Changing settings of {resource} {name!r}", first.error_message)


async def describe_cluster(cluster: Cluster) -> ClusterStatus:
    """The brokers that are alive, and who controls."""
    fields = {"include_cluster_authorized_operations": False, "include_fenced_brokers": False}
    answer = await cluster.request(DESCRIBE_CLUSTER, fields)
    check(answer.error_code, "Describing the cluster", answer.error_message)
    brokers = (await cluster.refresh(())).brokers
    return ClusterStatus(
        cluster_id=answer.cluster_id,
        controller_id=answer.controller_id,
        brokers=tuple(brokers[node_id] for node_id in sorted(brokers)),
    )


async def log_sizes(cluster: Cluster, node_id: int) -> dict[tuple[str, int], int]:
    """Bytes on disk of each partition that the broker holds."""
    answer = await cluster.request(DESCRIBE_LOG_DIRS, {"topics": None}, node_id=node_id)
    check(getattr(answer, "error_code", 0), f"Log folders of broker {node_id}")
    sizes: dict[tuple[str, int], int] = {}
    for folder in answer.results:
        check(folder.error_code, f"Log folder {folder.log_dir} of broker {node_id}")
        for topic in folder.topics:
            for partition in topic.partitions:
                sizes[topic.name, int(partition.partition_index)] = partition.partition_size
    return sizes


def _answering(resource: str, name: str) -> int | None:
    """A broker's own settings are known to that broker alone."""
    return int(name) if resource == "broker" and name else None
