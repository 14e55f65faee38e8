"""OffsetForLeaderEpoch v2-v4. Behaviour: the end offset of the largest epoch not above the one
asked (rule 27, KIP-101, KIP-279), after the client's own epoch is checked (KIP-320).
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_UNDEFINED = (-1, -1)


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """End offsets by leader epoch."""
    return {
        "topics": [
            {
                "topic": topic.topic,
                "partitions": [_answer(broker, topic.topic, item) for item in topic.partitions],
            }
            for topic in request.topics
        ]
    }


def _answer(broker: "Broker", topic: str, item: Any) -> Fields:
    code, found = Code.NONE, _UNDEFINED
    partition = broker.partitions.get(topic, item.partition)
    if partition is None:
        code = broker.partitions.why_absent(topic, item.partition)
    else:
        refused = partition.replica.check_epoch(item.current_leader_epoch)
        if refused is not None:
            code = refused
        elif not partition.replica.is_leader:
            code = Code.NOT_LEADER_OR_FOLLOWER
        else:
            found = partition.log.epochs.end_offset_for(
                item.leader_epoch, partition.log.log_end_offset
            )
    return {
        "error_code": code,
        "partition": item.partition,
        "leader_epoch": found[0],
        "end_offset": found[1],
    }
