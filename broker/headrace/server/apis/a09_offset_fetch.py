"""OffsetFetch v1-v10. Behaviour: one group before v8, several from then on; null topics (v2) ask
for all. Answers show committed state and wait for writes before them, so `require_stable` (v7)
changes nothing until transactions exist. From v10 topics are named by id.
"""

from typing import TYPE_CHECKING, Any, Final

from headrace.base.errors import Code
from headrace.core.groups.offsets import NO_LEADER_EPOCH, NO_OFFSET, NO_TOPIC_ID, FetchTopic
from headrace.server.coordinator import awaited
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_GROUP_ERROR_FROM: Final = 2
_BATCHED_FROM: Final = 8
_TOPIC_ID_FROM: Final = 10


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Committed offsets of each group."""
    version = context.api_version
    if version >= _BATCHED_FROM:
        groups = [
            {
                "group_id": group.group_id,
                **await _fetch(broker, group.group_id, group.topics, version),
            }
            for group in request.groups
        ]
        return {"groups": groups}
    answer = await _fetch(broker, request.group_id, request.topics, version)
    if version < _GROUP_ERROR_FROM and answer["error_code"] != Code.NONE:
        # There is no place for an error of the group: each partition carries it.
        code = answer["error_code"]
        topics = [
            {
                "name": item.name,
                "partitions": [_failed(index, code) for index in item.partition_indexes],
            }
            for item in request.topics
        ]
        return {"topics": topics}
    return answer


async def _fetch(broker: "Broker", group_id: str, items: Any, version: int) -> Fields:
    topics: list[FetchTopic] | None = None
    unknown: list[Fields] = []
    if items is not None:
        topics = []
        for item in items:
            name, topic_id = getattr(item, "name", ""), NO_TOPIC_ID
            if version >= _TOPIC_ID_FROM:
                topic_id = item.topic_id
                name = broker.metadata.image.topic_names.get(topic_id, "")
                if not name:
                    partitions = [
                        _failed(index, Code.UNKNOWN_TOPIC_ID) for index in item.partition_indexes
                    ]
                    unknown.append({"name": "", "topic_id": topic_id, "partitions": partitions})
                    continue
            topics.append(FetchTopic(name, topic_id, item.partition_indexes))
    found: list[Fields] | Code = await awaited(
        broker.groups.read(group_id, lambda shard: shard.fetch(group_id, topics), lambda code: code)
    )
    if isinstance(found, Code):
        return {"error_code": found, "topics": ()}
    if items is None and version >= _TOPIC_ID_FROM:
        found = _with_ids(broker, found)
    return {"error_code": Code.NONE, "topics": [*found, *unknown]}


def _with_ids(broker: "Broker", topics: list[Fields]) -> list[Fields]:
    """Give topics their ids; one that no longer exists cannot be named, as in Kafka."""
    image = broker.metadata.image
    return [
        {**topic, "topic_id": known.topic_id}
        for topic in topics
        if (known := image.topics.get(topic["name"])) is not None
    ]


def _failed(index: int, code: Code) -> Fields:
    return {
        "partition_index": index,
        "committed_offset": NO_OFFSET,
        "committed_leader_epoch": NO_LEADER_EPOCH,
        "metadata": "",
        "error_code": code,
    }
