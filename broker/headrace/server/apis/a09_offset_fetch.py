"""OffsetFetch v1-v10. Behaviour: one group before v8, several from then on; null topics (v2) ask
for all. Answers show committed state and wait for writes before them, so `require_stable` (v7)
changes nothing until transactions exist. From v10 topics are named by id.

Skipped: OffsetFetch answers a group (as it is named last), a topic or a partition that is named
twice once; Kafka answers each naming.
"""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from headrace.base.errors import Code
from headrace.core.groups.offsets import NO_LEADER_EPOCH, NO_OFFSET, NO_TOPIC_ID, FetchTopic
from headrace.server.apis.named_once import named_once, within
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
        # Of a group that is named twice the last counts: one answer each.
        asked = {group.group_id: group.topics for group in request.groups}
        groups = [
            {"group_id": group_id, **await _fetch(broker, group_id, asked[group_id], version)}
            async for group_id in named_once(asked)
        ]
        return {"groups": groups}
    answer = await _fetch(broker, request.group_id, request.topics, version)
    if version < _GROUP_ERROR_FROM and answer["error_code"] != Code.NONE:
        # There is no place for an error of the group: each partition carries it.
        code = answer["error_code"]
        topics = [
            {
                "name": name,
                "partitions": [_failed(index, code) for index in indexes],
            }
            for (name, _), indexes in _merged(request.topics, version).items()
        ]
        return {"topics": topics}
    return answer


async def _fetch(broker: "Broker", group_id: str, items: Any, version: int) -> Fields:
    topics: list[FetchTopic] | None = None
    unknown: list[Fields] = []
    if items is not None:
        topics = []
        within(sum(len(item.partition_indexes) for item in items))
        for (name, topic_id), indexes in _merged(items, version).items():
            if version >= _TOPIC_ID_FROM:
                name = broker.metadata.image.topic_names.get(topic_id, "")
                if not name:
                    partitions = [_failed(index, Code.UNKNOWN_TOPIC_ID) for index in indexes]
                    unknown.append({"name": "", "topic_id": topic_id, "partitions": partitions})
                    continue
            topics.append(FetchTopic(name, topic_id, tuple(indexes)))
    found: list[Fields] | Code = await awaited(
        broker.groups.read(group_id, lambda shard: shard.fetch(group_id, topics), lambda code: code)
    )
    if isinstance(found, Code):
        return {"error_code": found, "topics": ()}
    if items is None and version >= _TOPIC_ID_FROM:
        found = _with_ids(broker, found)
    return {"error_code": Code.NONE, "topics": [*found, *unknown]}


def _merged(items: Any, version: int) -> dict[tuple[str, UUID], dict[int, None]]:
    """Each partition once: its metadata may be a thousand times the size of its index."""
    merged: dict[tuple[str, UUID], dict[int, None]] = {}
    for item in items:
        key = ("", item.topic_id) if version >= _TOPIC_ID_FROM else (item.name, NO_TOPIC_ID)
        merged.setdefault(key, {}).update(dict.fromkeys(item.partition_indexes))
    return merged


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
