"""OffsetCommit v2-v10. Behaviour: from members of a generation, and from consumers outside of
groups (generation -1) while the group is empty. Topics that do not exist are refused one by
one; from v10 they are named by id, so a topic created anew is not mistaken for the old one.
"""

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from headrace.base.errors import Code
from headrace.base.image import TopicState
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.offsets import NO_TOPIC_ID, CommitTopic
from headrace.core.groups.requests import Commit
from headrace.core.groups.shard import GroupShard
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire.messages import ms

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_RETENTION_UNTIL: Final = 4
_LEADER_EPOCH_FROM: Final = 6
_INSTANCE_ID_FROM: Final = 7
_TOPIC_ID_FROM: Final = 10


def handle(
    broker: "Broker", request: Any, context: RequestContext
) -> Fields | Coroutine[Any, Any, Fields]:
    """The outcome for each partition. HOT enough: consumers commit every few seconds."""
    version = context.api_version
    topics: list[CommitTopic] = []
    refused: list[Fields] = []
    for item in request.topics:
        _sort_out(broker, item, version, topics, refused)
    if not topics:
        return {"topics": refused}
    asked = Commit(
        group_id=request.group_id,
        generation_id=request.generation_id_or_member_epoch,
        member_id=request.member_id,
        group_instance_id=request.group_instance_id if version >= _INSTANCE_ID_FROM else None,
        api_version=version,
        retention_ms=ms(request.retention_time) if version <= _RETENTION_UNTIL else -1,
    )

    def refuse(code: Code) -> Fields:
        return {"topics": _merged(refused, [_all(topic, code) for topic in topics])}

    def commit(shard: GroupShard, token: int, now: Now) -> Outcome:
        outcome = shard.commit(asked, topics, now)
        if isinstance(outcome, Code):
            return Outcome(answer=refuse(outcome))
        outcome.answer = {"topics": _merged(refused, outcome.answer or ())}
        return outcome

    answered: Fields | Coroutine[Any, Any, Fields] = broker.groups.submit(
        asked.group_id, commit, refuse
    )
    return answered


def _sort_out(
    broker: "Broker", item: Any, version: int, topics: list[CommitTopic], refused: list[Fields]
) -> None:
    """Put a topic's partitions where they belong: those that exist, and those that do not."""
    image = broker.metadata.image
    topic: TopicState | None
    if version >= _TOPIC_ID_FROM:
        topic, code = image.topic_by_id(item.topic_id), Code.UNKNOWN_TOPIC_ID
        name, topic_id = "", item.topic_id
    else:
        topic, code = image.topics.get(item.name), Code.UNKNOWN_TOPIC_OR_PARTITION
        name, topic_id = item.name, NO_TOPIC_ID
    if topic is None:
        refused.append(
            _refused(name, topic_id, [(p.partition_index, code) for p in item.partitions])
        )
        return
    count = len(topic.partitions)
    if version >= _LEADER_EPOCH_FROM:
        partitions = [
            (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.committed_metadata)
            for p in item.partitions
        ]
    else:
        partitions = [
            (p.partition_index, p.committed_offset, -1, p.committed_metadata)
            for p in item.partitions
        ]
    known = [partition for partition in partitions if 0 <= partition[0] < count]
    if len(known) < len(partitions):
        code = Code.UNKNOWN_TOPIC_OR_PARTITION
        absent = [(p[0], code) for p in partitions if not 0 <= p[0] < count]
        refused.append(_refused(topic.name, topic.topic_id, absent))
    if known:
        topics.append(CommitTopic(topic.name, topic.topic_id, known))


def _refused(name: str, topic_id: object, items: Sequence[tuple[int, Code]]) -> Fields:
    return {
        "name": name,
        "topic_id": topic_id,
        "partitions": [{"partition_index": index, "error_code": code} for index, code in items],
    }


def _all(topic: CommitTopic, code: Code) -> Fields:
    return _refused(topic.name, topic.topic_id, [(p[0], code) for p in topic.partitions])


def _merged(refused: Sequence[Fields], answered: Sequence[Fields]) -> Sequence[Fields]:
    """Both answers; a topic that is in both is one topic."""
    if not refused:
        return answered
    merged = {(topic["name"], topic["topic_id"]): topic for topic in refused}
    for topic in answered:
        key = (topic["name"], topic["topic_id"])
        earlier = merged.get(key)
        if earlier is not None:
            topic = {**topic, "partitions": [*earlier["partitions"], *topic["partitions"]]}
        merged[key] = topic
    return list(merged.values())
