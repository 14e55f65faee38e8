"""OffsetDelete v0. Behaviour: offsets of topics that the group does not subscribe to go; a group
with members must speak the consumer protocol, or it is NON_EMPTY_GROUP.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.shard import GroupShard
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The outcome for each partition; partitions that do not exist are answered first."""
    topics: dict[str, list[Fields]] = {}
    asked: list[tuple[str, Sequence[int]]] = []
    image = broker.metadata.image
    for item in request.topics:
        known = image.topics.get(item.name)
        count = 0 if known is None else len(known.partitions)
        indexes = [p.partition_index for p in item.partitions]
        here = [index for index in indexes if 0 <= index < count]
        if here:
            asked.append((item.name, here))
        for index in indexes:
            if not 0 <= index < count:
                topics.setdefault(item.name, []).append(
                    {"partition_index": index, "error_code": Code.UNKNOWN_TOPIC_OR_PARTITION}
                )
    if not request.group_id:
        return {"error_code": Code.INVALID_GROUP_ID, "topics": ()}

    def delete(shard: GroupShard, token: int, now: Now) -> Outcome:
        deleted = shard.delete_offsets(request.group_id, asked)
        return Outcome(answer=deleted) if isinstance(deleted, Code) else deleted

    answer: list[Fields] | Code = await broker.groups.ask(
        request.group_id, delete, lambda code: code
    )
    if isinstance(answer, Code):
        return {"error_code": answer, "topics": ()}
    for topic in answer:
        topics.setdefault(topic["name"], []).extend(topic["partitions"])
    return {
        "error_code": Code.NONE,
        "topics": [{"name": name, "partitions": items} for name, items in topics.items()],
    }
