"""AlterPartitionReassignments v0-v1. Behaviour: replica lists are checked as Kafka 4.3 checks
them; the list that stands is taken and nothing moves; a cancellation finds nothing in progress
(KIP-455, KIP-860).

Skipped: AlterPartitionReassignments moves nothing: this release keeps one replica a partition.
"""

from typing import TYPE_CHECKING, Any

from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Reassign each partition."""
    may_change = getattr(request, "allow_replication_factor_change", True)
    responses = []
    for topic in request.topics:
        partitions = []
        for item in topic.partitions:
            replicas = None if item.replicas is None else tuple(item.replicas)
            refusal = await broker.controller.reassign(
                topic.name, item.partition_index, replicas, any_factor=may_change
            )
            partitions.append({"partition_index": item.partition_index, **outcome(refusal)})
        responses.append({"name": topic.name, "partitions": partitions})
    return {
        "allow_replication_factor_change": may_change,
        **outcome(None),
        "responses": responses,
    }
