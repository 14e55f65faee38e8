"""DeleteTopics v1-v6. Behaviour: by name, in v6 also by topic id; what is named twice, or by
name and id, is refused. The topic is gone from this broker's metadata when the answer leaves;
its files follow after file.delete.delay.ms.

Skipped: DeleteTopics waits until the topic is gone whatever timeout_ms says.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.base.errors import Code, Refusal
from headrace.base.image import TopicState
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_ZERO = UUID(int=0)
_FIRST_WITH_DISABLED_CODE = 3
_KNOWS_QUOTAS = 5

Asked = tuple[str | None, UUID]


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Delete each topic that is named once and exists."""
    if hasattr(request, "topic_names"):
        asked: list[Asked] = [(name, _ZERO) for name in request.topic_names]
    else:
        asked = [(topic.name, topic.topic_id or _ZERO) for topic in request.topics]
    if not broker.settings.delete_topic_enable:
        new = context.api_version >= _FIRST_WITH_DISABLED_CODE
        code = Code.TOPIC_DELETION_DISABLED if new else Code.INVALID_REQUEST
        refusal = Refusal(code, "Topic deletion is disabled (delete.topic.enable).")
        return {"responses": [_item(name, topic_id, refusal) for name, topic_id in asked]}
    strict = context.api_version >= _KNOWS_QUOTAS
    mutations = broker.quotas.mutations(context.listener, context.client_id, strict=strict)
    times = Counter(asked)
    found = Counter(topic.topic_id for item in times if (topic := _find(broker, *item)) is not None)
    answers = []
    for (name, topic_id), count in times.items():
        topic = _find(broker, name, topic_id)
        refusal_or_none = _refuse(name, topic_id, count, topic, found)
        if refusal_or_none is None and topic is not None:
            refusal_or_none = mutations.charge(len(topic.partitions))
            if refusal_or_none is None:
                refusal_or_none = await broker.controller.delete_topic(topic)
            name, topic_id = topic.name, topic.topic_id
        answers.append(_item(name, topic_id, refusal_or_none))
    return {"responses": answers, "throttle_time_ms": mutations.throttle_ms}


def _find(broker: "Broker", name: str | None, topic_id: UUID) -> TopicState | None:
    image = broker.metadata.image
    return image.topic_by_id(topic_id) if name is None else image.topics.get(name)


def _refuse(
    name: str | None, topic_id: UUID, count: int, topic: TopicState | None, found: Counter[UUID]
) -> Refusal | None:
    if name is None and topic_id == _ZERO:
        return Refusal(Code.INVALID_REQUEST, "Neither topic name nor id were specified.")
    if name is not None and topic_id != _ZERO:
        return Refusal(Code.INVALID_REQUEST, "You may not specify both topic name and topic id.")
    if count > 1:
        what = "id" if name is None else "name"
        return Refusal(Code.INVALID_REQUEST, f"Duplicate topic {what}.")
    if topic is None:
        if name is None:
            return Refusal(Code.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
        return Refusal(
            Code.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."
        )
    if found[topic.topic_id] > 1:
        return Refusal(
            Code.INVALID_REQUEST,
            "The provided topic name maps to an ID that was already supplied.",
        )
    return None


def _item(name: str | None, topic_id: UUID, refusal: Refusal | None) -> Fields:
    return {"name": name, "topic_id": topic_id, **outcome(refusal)}
