"""ListPartitionReassignments v0. Behaviour: the partitions asked for (null: all) that are being
moved; none is, until replication is here (KIP-455).
"""

from typing import TYPE_CHECKING, Any

from headrace.base.image import PartitionState
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Reassignments in progress, by topic."""
    image = broker.metadata.image
    if request.topics is None:
        asked = [(t.name, tuple(range(len(t.partitions)))) for t in image.topics.values()]
    else:
        asked = [(topic.name, topic.partition_indexes) for topic in request.topics]
    topics = []
    for name, indexes in asked:
        topic = image.topics.get(name)
        states = () if topic is None else topic.partitions
        moving = [
            _partition(index, states[index])
            for index in indexes
            if 0 <= index < len(states) and (states[index].adding or states[index].removing)
        ]
        if moving:
            topics.append({"name": name, "partitions": moving})
    return {**outcome(None), "topics": topics}


def _partition(index: int, state: PartitionState) -> Fields:
    return {
        "partition_index": index,
        "replicas": state.replicas,
        "adding_replicas": state.adding,
        "removing_replicas": state.removing,
    }
