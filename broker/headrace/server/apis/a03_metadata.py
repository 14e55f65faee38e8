"""Metadata v0-v13. Behaviour: by name, by topic id (v12+), all topics (null; in v0 an empty
list); a topic asked by name is created where auto-creation is on and the request allows it,
and answered with LEADER_NOT_AVAILABLE only if that takes longer than the request waits. Once a
request made partitions.per.request.max partitions, its other topics are left to the next request.

Skipped: Metadata creates a topic before it answers; Kafka answers LEADER_NOT_AVAILABLE first. It
creates at most partitions.per.request.max partitions a request; Kafka has no bound.
"""

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.base.errors import Code, Refusal
from headrace.base.image import BrokerState, ClusterImage, PartitionState, TopicState
from headrace.core.authorized import CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS
from headrace.core.controller import check_topic_name
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire import messages
from headrace.wire.versions import METADATA

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_ALLOWED_ALWAYS_BELOW = 4
"""Requests before v4 cannot say whether they allow auto-creation: they do."""
_ZERO_ID = UUID(int=0)
_ITEMS_A_TURN = 200
"""Then the loop has its turn."""


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Brokers, controller and the topics asked for."""
    version = context.api_version
    with_operations = getattr(request, "include_topic_authorized_operations", False)
    topics: list[Any]
    if request.topics is None or (version == 0 and not request.topics):
        topics = _all(broker, context, with_operations)
    else:
        may_create = version < _ALLOWED_ALWAYS_BELOW or request.allow_auto_topic_creation
        # Each topic once, as in Kafka: a small request must not ask for a huge answer.
        once = {(item.name, getattr(item, "topic_id", None)): item for item in request.topics}
        topics, left = [], broker.settings.partitions_per_request_max
        for number, item in enumerate(once.values(), 1):
            before = broker.metadata.image.topics.get(item.name)
            topics.append(await _asked(broker, item, context, may_create, with_operations))
            made = None if before else broker.metadata.image.topics.get(item.name)
            left -= len(made.partitions) if made else 0
            may_create = may_create and left > 0
            if number % _ITEMS_A_TURN == 0:
                await asyncio.sleep(0)
    image = broker.metadata.image
    fields: dict[str, Any] = {
        "error_code": Code.NONE,
        "brokers": [
            _broker(state, context.listener)
            for _, state in sorted(image.brokers.items())
            if state.endpoint(context.listener) is not None
        ],
        "cluster_id": image.cluster_id,
        # librdkafka that is told of none waits out its request, also where there is one in 50 ms.
        "controller_id": image.controller_or(broker.node_id),
        "topics": topics,
    }
    if 8 <= version <= 10:
        asked = request.include_cluster_authorized_operations
        fields["cluster_authorized_operations"] = CLUSTER_OPERATIONS if asked else NOT_ASKED
    return fields


def _all(broker: "Broker", context: RequestContext, with_operations: bool) -> list[bytes]:
    def encode(topic: TopicState) -> bytes:
        fields = _topic(broker, topic, context, with_operations)
        return messages.encode_item(METADATA, context.api_version, "topics", fields)

    use = (context.api_version, context.listener, with_operations)
    return broker.topic_bytes.all(broker.metadata.image, use, encode)


def _broker(state: BrokerState, listener: str) -> Fields:
    endpoint = state.endpoint(listener)
    assert endpoint is not None
    return {
        "node_id": state.broker_id,
        "host": endpoint.host,
        "port": endpoint.port,
        "rack": state.rack,
    }


async def _asked(
    broker: "Broker", item: Any, context: RequestContext, may_create: bool, with_operations: bool
) -> Fields:
    image = broker.metadata.image
    operations = TOPIC_OPERATIONS if with_operations else NOT_ASKED
    topic_id = getattr(item, "topic_id", None)
    if topic_id is not None and topic_id != _ZERO_ID:
        if context.api_version < 12:
            return _absent(Code.INVALID_REQUEST, item.name or "", topic_id, operations)
        topic = image.topic_by_id(topic_id)
        if topic is None:
            return _absent(Code.UNKNOWN_TOPIC_ID, None, topic_id, operations)
        return _topic(broker, topic, context, with_operations)
    if item.name is None:
        return _absent(Code.INVALID_REQUEST, "", _ZERO_ID, operations)
    topic = image.topics.get(item.name)
    if topic is None:
        refusal = await _create(broker, item.name, context, may_create)
        if refusal is not None:
            return _absent(refusal.code, item.name, _ZERO_ID, operations)
        topic = broker.metadata.image.topics.get(item.name)
        if topic is None:
            return _absent(Code.LEADER_NOT_AVAILABLE, item.name, _ZERO_ID, operations)
    return _topic(broker, topic, context, with_operations)


async def _create(
    broker: "Broker", name: str, context: RequestContext, may_create: bool
) -> Refusal | None:
    refusal = check_topic_name(name)
    if refusal is not None:
        return refusal
    if not (may_create and broker.settings.auto_create_topics_enable):
        return Refusal(Code.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {name}")
    refusal = await broker.auto_create(name, context)
    if refusal is not None and refusal.code == Code.THROTTLING_QUOTA_EXCEEDED:
        # An answer of Metadata has no such error; its client asks again, as in Kafka.
        return Refusal(Code.UNKNOWN_TOPIC_OR_PARTITION, refusal.message)
    return refusal


def _topic(
    broker: "Broker", topic: TopicState, context: RequestContext, with_operations: bool
) -> Fields:
    image = broker.metadata.image
    return {
        "error_code": Code.NONE,
        "name": topic.name,
        "topic_id": topic.topic_id,
        "is_internal": topic.internal,
        "partitions": [
            _partition(image, index, state, context) for index, state in enumerate(topic.partitions)
        ],
        "topic_authorized_operations": TOPIC_OPERATIONS if with_operations else NOT_ASKED,
    }


def _partition(
    image: ClusterImage, index: int, state: PartitionState, context: RequestContext
) -> Fields:
    leader = image.brokers.get(state.leader)
    code = Code.NONE
    if leader is None:
        code = Code.LEADER_NOT_AVAILABLE
    elif leader.endpoint(context.listener) is None:
        code = Code.LISTENER_NOT_FOUND if context.api_version >= 6 else Code.LEADER_NOT_AVAILABLE
    return {
        "error_code": code,
        "partition_index": index,
        "leader_id": -1 if code else state.leader,
        "leader_epoch": state.leader_epoch,
        "replica_nodes": state.replicas,
        "isr_nodes": state.isr,
        "offline_replicas": [node for node in state.replicas if node not in image.brokers],
    }


def _absent(code: Code, name: str | None, topic_id: UUID | None, operations: int) -> Fields:
    return {
        "error_code": code,
        "name": name,
        "topic_id": topic_id,
        "is_internal": False,
        "partitions": [],
        "topic_authorized_operations": operations,
    }
