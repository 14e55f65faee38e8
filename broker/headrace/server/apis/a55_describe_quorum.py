"""DescribeQuorum v0-v2. Behaviour: the one partition of __cluster_metadata that Kafka's tools ask
for, told from the metadata store: its revision stands for the high watermark, the broker that
is controller for the leader and the only voter, the other brokers for observers (KIP-595).

Skipped: DescribeQuorum tells of the metadata store in KRaft's words; there is no Raft log.
"""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from headrace.base.errors import Code, Refusal
from headrace.base.image import ClusterImage
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_TOPIC = "__cluster_metadata"


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Leader, epoch and how far each broker is."""
    image = broker.metadata.image
    now_ms = broker.clock.wall_ms()
    asked = [(t.topic_name, p.partition_index) for t in request.topics for p in t.partitions]
    return {
        "error_code": Code.NONE,
        "error_message": "",
        "topics": [
            {
                "topic_name": topic.topic_name,
                "partitions": [
                    _partition(image, now_ms, topic.topic_name, partition.partition_index)
                    for partition in topic.partitions
                ],
            }
            for topic in request.topics
        ],
        "nodes": [
            {
                "node_id": state.broker_id,
                "listeners": [
                    {"name": e.listener, "host": e.host, "port": e.port} for e in state.endpoints
                ],
            }
            for _, state in sorted(image.brokers.items())
            if asked == [(_TOPIC, 0)]
        ],
    }


def _partition(image: ClusterImage, now_ms: int, topic: str, index: int) -> Fields:
    if topic != _TOPIC or index != 0:
        refusal = Refusal(
            Code.UNKNOWN_TOPIC_OR_PARTITION, f"There is no quorum partition {topic}-{index}."
        )
        return {
            "partition_index": index,
            **outcome(refusal),
            "leader_id": 0,
            "leader_epoch": 0,
            "high_watermark": 0,
            "current_voters": [],
            "observers": [],
        }
    observers = [b for b in sorted(image.brokers) if b != image.controller_id]
    return {
        "partition_index": index,
        "error_code": Code.NONE,
        "error_message": "",
        "leader_id": image.controller_id,
        "leader_epoch": min(image.controller_epoch, 2**31 - 1),
        "high_watermark": image.revision,
        "current_voters": [_replica(image.controller_id, image.revision, now_ms)],
        "observers": [_replica(broker_id, image.revision, now_ms) for broker_id in observers],
    }


def _replica(broker_id: int, revision: int, now_ms: int) -> Fields:
    return {
        "replica_id": broker_id,
        "replica_directory_id": UUID(int=0),
        "log_end_offset": revision,
        "last_fetch_timestamp": now_ms,
        "last_caught_up_timestamp": now_ms,
    }
