"""What many sequences need before they begin: a topic that is there, a group with a coordinator.

None of it is recorded: how long Kafka takes until a new topic is everywhere is not compared.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from e2e.compat.differential.peer import Peer

RETRIED_COORDINATOR_ERRORS = (14, 15, 16)
NO_ID = uuid.UUID(int=0)
KEEP = {"retention.ms": "-1"}
"""The batches carry fixed old timestamps, which retention would delete while we look."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that was made for a sequence."""

    name: str
    id: uuid.UUID


def topic(
    peer: Peer, suffix: str = "t", *, partitions: int = 1, configs: Mapping[str, str] = KEEP
) -> Topic:
    """Create a topic and wait until all its partitions have a leader."""
    name = peer.name(suffix)
    peer.quietly(
        "create_topics",
        7,
        topics=[new_topic(name, partitions, configs)],
        timeout_ms=9000,
        validate_only=False,
    )
    return await_topic(peer, name, partitions)


def new_topic(
    name: str, partitions: int = 1, configs: Mapping[str, str | None] | None = None, **fields: Any
) -> dict[str, Any]:
    """One topic of a CreateTopics request."""
    return {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": 1,
        "assignments": [],
        "configs": [{"name": k, "value": v} for k, v in (configs or {}).items()],
    } | fields


def await_topic(peer: Peer, name: str, partitions: int) -> Topic:
    """Wait until Metadata shows so many led partitions, and each answers ListOffsets."""

    def led(answer: Any) -> bool:
        found = answer.topics[0]
        return (
            not found.error_code
            and len(found.partitions) == partitions
            and not any(p.error_code for p in found.partitions)
        )

    answer = peer.settle(led, "metadata", 12, **asked_about(name))
    ends = [offset_of(i, -1) for i in range(partitions)]
    peer.settle(
        lambda a: not any(p.error_code for p in a.topics[0].partitions),
        "list_offsets",
        7,
        replica_id=-1,
        isolation_level=0,
        topics=[{"name": name, "partitions": ends}],
    )
    return Topic(name, answer.topics[0].topic_id)


def await_no_topic(peer: Peer, name: str) -> None:
    """Wait until Metadata no longer knows the topic."""
    peer.settle(lambda a: a.topics[0].error_code == 3, "metadata", 12, **asked_about(name))


def asked_about(*names: str, auto_create: bool = False) -> dict[str, Any]:
    """The fields of a Metadata request for these topics."""
    return {
        "topics": [{"topic_id": NO_ID, "name": name} for name in names],
        "allow_auto_topic_creation": auto_create,
        "include_topic_authorized_operations": False,
    }


def group(peer: Peer, suffix: str = "g") -> str:
    """A group id whose coordinator is known and loaded."""
    name = peer.name(suffix)
    peer.settle(
        lambda a: a.coordinators[0].error_code not in RETRIED_COORDINATOR_ERRORS,
        "find_coordinator",
        4,
        key_type=0,
        coordinator_keys=[name],
    )
    peer.settle(
        lambda a: a.groups[0].error_code not in RETRIED_COORDINATOR_ERRORS,
        "describe_groups",
        5,
        groups=[name],
        include_authorized_operations=False,
    )
    return name


def offset_of(partition: int, timestamp: int, epoch: int = -1) -> dict[str, int]:
    """One partition of a ListOffsets request."""
    return {
        "partition_index": partition,
        "current_leader_epoch": epoch,
        "timestamp": timestamp,
    }


def produced(topic_name: str, *parts: tuple[int, bytes | None], acks: int = -1) -> dict[str, Any]:
    """The fields of a Produce request by topic name (versions below 13)."""
    data = [{"index": index, "records": records} for index, records in parts]
    return {
        "transactional_id": None,
        "acks": acks,
        "timeout_ms": 5000,
        "topic_data": [{"name": topic_name, "partition_data": data}],
    }


def fetched(
    where: Topic | str,
    *parts: tuple[int, int],
    max_wait_ms: int = 0,
    min_bytes: int = 0,
    max_bytes: int = 1 << 20,
    partition_max_bytes: int = 1 << 20,
    epoch: int = -1,
    isolation_level: int = 0,
    session_id: int = 0,
    session_epoch: int = -1,
    forgotten: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The fields of a Fetch request of (partition, offset) pairs, for every version."""
    name, topic_id = (where.name, where.id) if isinstance(where, Topic) else (where, NO_ID)
    partitions = [
        {
            "partition": index,
            "current_leader_epoch": epoch,
            "fetch_offset": offset,
            "last_fetched_epoch": -1,
            "log_start_offset": -1,
            "partition_max_bytes": partition_max_bytes,
        }
        for index, offset in parts
    ]
    return {
        "replica_id": -1,
        "max_wait_ms": max_wait_ms,
        "min_bytes": min_bytes,
        "max_bytes": max_bytes,
        "isolation_level": isolation_level,
        "session_id": session_id,
        "session_epoch": session_epoch,
        "topics": [{"topic": name, "topic_id": topic_id, "partitions": partitions}]
        if parts
        else [],
        "forgotten_topics_data": forgotten or [],
        "rack_id": "",
    }
