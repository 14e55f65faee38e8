"""DescribeProducers v0. Behaviour: the idempotent producers a partition's leader remembers, with
epoch, last sequence and time (KIP-664).
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.core.controller import check_topic_name
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Producers by partition."""
    return {
        "topics": [
            {
                "name": topic.name,
                "partitions": [
                    _partition(broker, topic.name, index)
                    for index in dict.fromkeys(topic.partition_indexes)
                ],
            }
            for topic in {topic.name: topic for topic in request.topics}.values()
        ]
    }


def _partition(broker: "Broker", topic: str, index: int) -> Fields:
    partition = broker.partitions.get(topic, index)
    refusal = check_topic_name(topic)
    if refusal is None and partition is None:
        refusal = Refusal(
            broker.partitions.why_absent(topic, index), f"{topic}-{index} is not on this broker."
        )
    if refusal is None and partition is not None and not partition.replica.is_leader:
        refusal = Refusal(Code.NOT_LEADER_OR_FOLLOWER, f"{topic}-{index} is led elsewhere.")
    entries = () if partition is None or refusal is not None else partition.producers.entries()
    return {
        "partition_index": index,
        **outcome(refusal),
        "active_producers": [
            {
                "producer_id": entry.producer_id,
                "producer_epoch": entry.producer_epoch,
                "last_sequence": entry.last_sequence,
                "last_timestamp": entry.timestamp,
                "coordinator_epoch": entry.coordinator_epoch,
                "current_txn_start_offset": entry.current_txn_first_offset,
            }
            for entry in entries
        ],
    }
