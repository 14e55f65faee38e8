"""CreateTopics v2-v7. Behaviour: names, counts, manual assignments and settings are checked as
Kafka 4.3 checks them; each topic succeeds or fails alone; v5+ answers the settings in effect
(KIP-525), v7 the topic id. A topic is in this broker's metadata when the answer leaves.

Skipped: CreateTopics refuses a name that collides in metrics (a.b and a_b) with one of the same
request too; Kafka looks at those that exist alone.
Skipped: CreateTopics refuses partitions for which the limit of open files has no room.
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
    refused: dict[str, Refusal] = {}
    wanted = []
    for item in request.topics:
        if times[item.name] > 1:
            refused[item.name] = Refusal(Code.INVALID_REQUEST, "Duplicate topic name.")
        elif asked > largest:
            refused[item.name] = too_many(broker.settings)
        else:
            wanted.append(_wanted(item))
    made = await broker.controller.create_topics(
        wanted, validate_only=request.validate_only, charge=mutations.charge
    )
    await broker.partitions.all_open()
    found = {**refused, **dict(zip((new.name for new in wanted), made, strict=True))}
    tells = context.api_version >= _TELLS_SETTINGS
    answers = [_answer(broker, name, found[name], with_settings=tells) for name in times]
    return {"topics": answers, "throttle_time_ms": mutations.throttle_ms}


def _wanted(item: Any) -> NewTopic:
    return NewTopic(
        name=item.name,
        partition_count=item.num_partitions,
        replication_factor=item.replication_factor,
        assignments=tuple((a.partition_index, tuple(a.broker_ids)) for a in item.assignments),
        settings=tuple((config.name, config.value) for config in item.configs),
    )


def _answer(
    broker: "Broker", name: str, made: TopicState | Refusal, *, with_settings: bool
) -> Fields:
    if isinstance(made, Refusal):
        return {"name": name, "topic_id": None, "configs": [], **outcome(made)}
    return _created(broker, made, with_settings=with_settings)


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
