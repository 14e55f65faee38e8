"""DescribeTopicPartitions v0. Behaviour: topics by name or all, in order of name, in pages of at
most max.request.partition.size.limit partitions with a cursor to the next (KIP-966); with
eligible leader replicas.
"""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.base.errors import Code
from headrace.base.image import ClusterImage, PartitionState
from headrace.core.authorized import NOT_ASKED, TOPIC_OPERATIONS
from headrace.core.controller import check_topic_name
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_ZERO = UUID(int=0)


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """One page of partitions."""
    image, cursor = broker.metadata.image, request.cursor
    after = "" if cursor is None else cursor.topic_name
    every = not request.topics
    asked = image.topics if every else {topic.name for topic in request.topics}
    names = sorted(name for name in asked if name >= after)
    if cursor is not None and (cursor.partition_index < 0 or (not every and after not in names)):
        return _refused(request)
    room = max(
        min(broker.settings.max_request_partition_size_limit, request.response_partition_limit), 1
    )
    topics: list[Fields] = []
    for name in names:
        first = cursor.partition_index if cursor is not None and name == after else 0
        topic = image.topics.get(name)
        if topic is None:
            topics.append(_absent(name))
            continue
        if room == 0:
            return _page(topics, name, first)
        shown = topic.partitions[first : first + room]
        room -= len(shown)
        topics.append(
            {
                "error_code": Code.NONE,
                "name": name,
                "topic_id": topic.topic_id,
                "is_internal": topic.internal,
                "partitions": [
                    _partition(image, first + step, state, context.listener)
                    for step, state in enumerate(shown)
                ],
                "topic_authorized_operations": TOPIC_OPERATIONS,
            }
        )
        if first + len(shown) < len(topic.partitions):
            return _page(topics, name, first + len(shown))
    return {"topics": topics, "next_cursor": None}


def _page(topics: list[Fields], name: str, index: int) -> Fields:
    return {"topics": topics, "next_cursor": {"topic_name": name, "partition_index": index}}


def _refused(request: Any) -> Fields:
    topics = [
        {
            **_absent(topic.name),
            "error_code": Code.INVALID_REQUEST,
            "topic_authorized_operations": NOT_ASKED,
        }
        for topic in request.topics
    ]
    return {"topics": topics, "next_cursor": None}


def _absent(name: str) -> Fields:
    refusal = check_topic_name(name)
    return {
        "error_code": Code.UNKNOWN_TOPIC_OR_PARTITION if refusal is None else refusal.code,
        "name": name,
        "topic_id": _ZERO,
        "partitions": [],
        "topic_authorized_operations": TOPIC_OPERATIONS,
    }


def _partition(image: ClusterImage, index: int, state: PartitionState, listener: str) -> Fields:
    leader = image.brokers.get(state.leader)
    code = Code.NONE
    if leader is None:
        code = Code.LEADER_NOT_AVAILABLE
    elif leader.endpoint(listener) is None:
        code = Code.LISTENER_NOT_FOUND
    return {
        "error_code": code,
        "partition_index": index,
        "leader_id": -1 if leader is None else state.leader,
        "leader_epoch": state.leader_epoch,
        "replica_nodes": state.replicas,
        "isr_nodes": state.isr,
        "eligible_leader_replicas": state.elr,
        "last_known_elr": state.last_known_elr,
        "offline_replicas": [b for b in state.replicas if b not in image.brokers],
    }
