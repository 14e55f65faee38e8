"""What the client knows of a cluster: brokers, topics, leaders. Values, read from one answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headrace.base.errors import Code
from headrace.client.address import Address
from headrace.client.errors import code_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker that clients may connect to."""

    node_id: int
    address: Address
    rack: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition; `code` is LEADER_NOT_AVAILABLE and the like while it cannot serve."""

    index: int
    code: Code
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic with its partitions in order. A topic that has a `code` has none."""

    name: str
    code: Code
    topic_id: UUID | None
    internal: bool
    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """One answer to a Metadata request."""

    cluster_id: str | None = None
    controller_id: int = -1
    brokers: Mapping[int, Broker] = field(default_factory=dict)
    topics: Mapping[str, Topic] = field(default_factory=dict)


def read_metadata(answer: Any) -> Metadata:
    """The Metadata of a kio MetadataResponse."""
    brokers = {
        b.node_id: Broker(node_id=b.node_id, address=Address(b.host, b.port), rack=b.rack)
        for b in answer.brokers
    }
    topics = {topic.name: _read_topic(topic) for topic in answer.topics if topic.name is not None}
    return Metadata(
        cluster_id=getattr(answer, "cluster_id", None),
        controller_id=answer.controller_id,
        brokers=brokers,
        topics=topics,
    )


def _read_topic(topic: Any) -> Topic:
    partitions = tuple(
        Partition(
            index=p.partition_index,
            code=code_of(p.error_code),
            leader=p.leader_id,
            leader_epoch=getattr(p, "leader_epoch", -1),
            replicas=tuple(p.replica_nodes),
            isr=tuple(p.isr_nodes),
            offline=tuple(getattr(p, "offline_replicas", ())),
        )
        for p in sorted(topic.partitions, key=lambda p: int(p.partition_index))
    )
    return Topic(
        name=topic.name,
        code=code_of(topic.error_code),
        topic_id=getattr(topic, "topic_id", None),
        internal=topic.is_internal,
        partitions=partitions,
    )
