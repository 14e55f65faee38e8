"""ElectLeaders v0-v2. Behaviour: preferred and unclean elections of the partitions named, or of
all (null), where those that need none are left out (KIP-460).
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.core.controller import PREFERRED, UNCLEAN
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Elect a leader for each partition."""
    election = getattr(request, "election_type", PREFERRED)
    every = request.topic_partitions is None
    if every:
        topics = broker.metadata.image.topics.values()
        asked = [(topic.name, range(len(topic.partitions))) for topic in topics]
    else:
        asked = [(topic.topic, topic.partitions) for topic in request.topic_partitions]
    if election not in (PREFERRED, UNCLEAN):
        unknown = Refusal(Code.INVALID_REQUEST, f"Unknown election type {election}")
        return {
            "error_code": unknown.code,
            "replica_election_results": []
            if every
            else [
                {
                    "topic": name,
                    "partition_result": [{"partition_id": i, **outcome(unknown)} for i in indexes],
                }
                for name, indexes in asked
            ],
        }
    results = []
    for name, indexes in asked:
        partitions = []
        for index in indexes:
            refusal = await broker.controller.elect_leader(name, index, election)
            if not (every and _needless(refusal)):
                partitions.append({"partition_id": index, **outcome(refusal)})
        results.append({"topic": name, "partition_result": partitions})
    return {"error_code": Code.NONE, "replica_election_results": results}


def _needless(refusal: Refusal | None) -> bool:
    return refusal is not None and refusal.code is Code.ELECTION_NOT_NEEDED
