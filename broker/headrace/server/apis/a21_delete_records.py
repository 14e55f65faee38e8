"""DeleteRecords v0-v2. Behaviour: the log starts at the offset given (-1: at the high watermark)
on every replica before it is answered; the low watermark is the lowest start (KIP-107).
Refused where the topic is internal or is not of cleanup.policy=delete.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.base.image import INTERNAL_TOPICS
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_HIGH_WATERMARK = -1
_NO_LOW_WATERMARK = -1


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The new low watermark of each partition, once a crash cannot bring the records back."""
    topics: list[dict[str, Any]] = [
        {
            "name": topic.name,
            "partitions": [
                _item(broker, topic.name, item.partition_index, int(item.offset))
                for item in topic.partitions
            ],
        }
        for topic in request.topics
    ]
    if not await broker.housekeeping.checkpoint():
        broker.reserve.no_room()  # There is some now that the reserve is given up.
        if not await broker.housekeeping.checkpoint():
            _not_durable(topics)
    return {"topics": topics}


def _not_durable(topics: list[dict[str, Any]]) -> None:
    """A crash could bring the records back: nobody is told that they are gone."""
    for topic in topics:
        for item in topic["partitions"]:
            if not item["error_code"]:
                item["error_code"] = Code.KAFKA_STORAGE_ERROR
                item["low_watermark"] = _NO_LOW_WATERMARK


def _item(broker: "Broker", topic: str, index: int, offset: int) -> dict[str, Any]:
    done = _delete(broker, topic, index, offset)
    refused = isinstance(done, Code)
    return {
        "partition_index": index,
        "low_watermark": _NO_LOW_WATERMARK if refused else done,
        "error_code": done if refused else Code.NONE,
    }


def _delete(broker: "Broker", topic: str, index: int, offset: int) -> int | Code:
    partition = broker.partitions.get(topic, index)
    if partition is None:
        return broker.partitions.why_absent(topic, index)
    if topic in INTERNAL_TOPICS:
        return Code.INVALID_TOPIC_EXCEPTION
    if not partition.replica.is_leader:
        return Code.NOT_LEADER_OR_FOLLOWER
    if partition.failure is not None:
        return Code.KAFKA_STORAGE_ERROR
    policy = partition.log.settings.cleanup_policy
    if policy and "delete" not in policy:
        return Code.POLICY_VIOLATION
    target = partition.high_watermark if offset == _HIGH_WATERMARK else offset
    if not 0 <= target <= partition.high_watermark:
        return Code.OFFSET_OUT_OF_RANGE
    partition.log.advance_start_offset(target)
    return partition.log.log_start_offset
