"""Offsets of partitions by time, and the offsets that groups have committed."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from headrace.base.errors import Code
from headrace.client.cluster import Cluster
from headrace.client.errors import check, code_of
from headrace.wire.versions import LIST_OFFSETS, OFFSET_COMMIT, OFFSET_FETCH

EARLIEST: Final = -2
LATEST: Final = -1

NO_GENERATION: Final = -1
_LAST_VERSION_WITH_NAMES: Final = 9

TopicPartition = tuple[str, int]


async def list_offsets(
    cluster: Cluster, wanted: Mapping[TopicPartition, int], *, committed_only: bool = False
) -> dict[TopicPartition, int]:
    """The offset of the first record at or after each timestamp in ms, -1 where there is none.

    EARLIEST and LATEST stand for the log start and the end. Raises ClientError.
    """
    by_leader: dict[int, dict[str, list[dict[str, int]]]] = {}
    for (topic, index), timestamp in wanted.items():
        leader = (await cluster.partition(topic, index)).leader
        item = {"partition_index": index, "current_leader_epoch": -1, "timestamp": timestamp}
        by_leader.setdefault(leader, {}).setdefault(topic, []).append(item)
    found: dict[TopicPartition, int] = {}
    for leader, topics in by_leader.items():
        fields = {
            "replica_id": -1,
            "isolation_level": int(committed_only),
            "topics": [{"name": name, "partitions": items} for name, items in topics.items()],
            "timeout_ms": cluster.request_timeout_ms,
        }
        answer = await cluster.request(LIST_OFFSETS, fields, node_id=leader)
        for topic in answer.topics:
            for partition in topic.partitions:
                what = f"Offsets of {topic.name}-{partition.partition_index}"
                check(partition.error_code, what)
                found[topic.name, partition.partition_index] = partition.offset
    return found


async def committed_offsets(
    cluster: Cluster, group: str, partitions: Iterable[TopicPartition] | None = None
) -> dict[TopicPartition, int]:
    """What the group has committed; of all its topics if `partitions` is None.

    A partition without a commit is left out. Raises ClientError.
    """
    topics = None
    if partitions is not None:
        by_topic: dict[str, list[int]] = {}
        for topic, index in partitions:
            by_topic.setdefault(topic, []).append(index)
        topics = [{"name": name, "partition_indexes": i} for name, i in by_topic.items()]
    fields = {
        "group_id": group,
        "topics": topics,
        "groups": [{"group_id": group, "topics": topics, "member_id": None, "member_epoch": -1}],
        "require_stable": False,
    }
    # Older versions name the topics, so that commits of deleted topics are shown as well.
    answer = await cluster.request(
        OFFSET_FETCH,
        fields,
        node_id=await cluster.coordinator(group),
        version_max=_LAST_VERSION_WITH_NAMES,
    )
    of_group = answer.groups[0] if hasattr(answer, "groups") else answer
    check(of_group.error_code, f"Committed offsets of group {group!r}")
    found: dict[TopicPartition, int] = {}
    for topic_answer in of_group.topics:
        for partition in topic_answer.partitions:
            where = f"{topic_answer.name}-{partition.partition_index}"
            check(partition.error_code, f"Committed offset of {where} in group {group!r}")
            if partition.committed_offset >= 0:
                key = (topic_answer.name, int(partition.partition_index))
                found[key] = partition.committed_offset
    return found


async def commit_offsets(
    cluster: Cluster,
    group: str,
    offsets: Mapping[TopicPartition, int],
    *,
    node_id: int | None = None,
    member_id: str = "",
    generation_id: int = NO_GENERATION,
    lane: str = "",
) -> None:
    """Commit for a group: as its member, or from outside where it has none. Raises ClientError.

    The topic's id goes along, so a commit for a deleted topic cannot land on its successor.
    From outside, a group that has members is NON_EMPTY_GROUP.
    """
    by_topic: dict[str, list[dict[str, Any]]] = {}
    names: dict[Any, str] = {}
    for (topic, index), offset in offsets.items():
        item = {
            "partition_index": index,
            "committed_offset": offset,
            "committed_leader_epoch": -1,
            "committed_metadata": "",
        }
        by_topic.setdefault(topic, []).append(item)
        await cluster.partition(topic, index)
    topics = []
    for name, items in by_topic.items():
        topic_id = cluster.metadata.topics[name].topic_id
        names[topic_id] = name
        topics.append({"name": name, "topic_id": topic_id, "partitions": items})
    fields = {
        "group_id": group,
        "generation_id_or_member_epoch": generation_id,
        "member_id": member_id,
        "group_instance_id": None,
        "retention_time_ms": -1,
        "topics": topics,
    }
    if node_id is None:
        node_id = await cluster.coordinator(group)
    answer = await cluster.request(OFFSET_COMMIT, fields, node_id=node_id, lane=lane)
    for topic_answer in answer.topics:
        for partition in topic_answer.partitions:
            name = getattr(topic_answer, "name", None) or names[topic_answer.topic_id]
            code = code_of(partition.error_code)
            if code is Code.UNKNOWN_MEMBER_ID and not member_id:
                code = Code.NON_EMPTY_GROUP  # while there are members, only they commit
            check(code, f"Committing {name}-{partition.partition_index} for group {group!r}")
