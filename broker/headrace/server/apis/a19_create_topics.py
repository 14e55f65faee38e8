"""CreateTopics v2-v7. Behaviour: names, counts, manual assignments and settings are checked as
Kafka 4.3 checks them; each topic succeeds or fails alone; v5+ answers the settings in effect
(KIP-525), v7 the topic id. A topic is in this broker's metadata when the answer leaves.

Skipped: CreateTopics waits until the topic is there whatever timeout_ms says.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.base.image import TopicState
from headrace.config.describe import Described, describe_topic
from headrace.core.controller import NewTopic, too_many
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome
from headrace.server.quotas import Mutations

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_TELLS_SETTINGS = 5
_KNOWS_QUOTAS = 6


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Create each topic, or only say whether it could be."""
    strict = context.api_version >= _KNOWS_QUOTAS
    mutations = broker.quotas.mutations(context.listener, context.client_id, strict=strict)
    times = Counter(item.name for item in request.topics)
    largest = broker.settings.partitions_per_request_max
    asked = sum(max(item.num_partitions, len(item.assignments), 1) for item in request.topics)
    topics = []
    for item in request.topics:
        if times[item.name] > 1:
            if times.pop(item.name, None):
                topics.append(
                    _refused(item, Refusal(Code.INVALID_REQUEST, "Duplicate topic name."))
                )
        elif item.name in times:
            if asked > largest:
                topics.append(_refused(item, too_many(broker.settings)))
            else:
                dry = request.validate_only
                topics.append(await _create(broker, item, dry, context, mutations))
    await broker.partitions.all_open()
    return {"topics": topics, "throttle_time_ms": mutations.throttle_ms}


async def _create(
    broker: "Broker",
    item: Any,
    validate_only: bool,
    context: RequestContext,
    mutations: Mutations,
) -> Fields:
    new = NewTopic(
        name=item.name,
        partition_count=item.num_partitions,
        replication_factor=item.replication_factor,
        assignments=tuple((a.partition_index, tuple(a.broker_ids)) for a in item.assignments),
        settings=tuple((config.name, config.value) for config in item.configs),
    )
    made = await broker.controller.create_topic(
        new, validate_only=validate_only, charge=mutations.charge
    )
    if isinstance(made, Refusal):
        return _refused(item, made)
    return _created(broker, made, with_settings=context.api_version >= _TELLS_SETTINGS)


def _created(broker: "Broker", topic: TopicState, *, with_settings: bool) -> Fields:
    settings = describe_topic(broker.metadata.layers, topic.settings) if with_settings else ()
    return {
        "name": topic.name,
        "topic_id": topic.topic_id,
        "num_partitions": len(topic.partitions),
        "replication_factor": len(topic.partitions[0].replicas),
        "configs": [_setting(setting) for setting in settings],
        **outcome(None),
    }


def _setting(setting: Described) -> Fields:
    return {
        "name": setting.name,
        "value": setting.value,
        "read_only": setting.read_only,
        "config_source": setting.source,
        "is_sensitive": False,
    }


def _refused(item: Any, refusal: Refusal) -> Fields:
    return {"name": item.name, "topic_id": None, "configs": [], **outcome(refusal)}
