"""CreatePartitions v0-v3. Behaviour: counts and assignments are checked as Kafka 4.3 checks
them; the new partitions of a topic appear together.

Skipped: CreatePartitions refuses __consumer_offsets: its groups would no longer be found.
Skipped: CreatePartitions waits until the partitions are there whatever timeout_ms says.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.core.controller import MorePartitions, too_many
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome
from headrace.server.quotas import Mutations

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_KNOWS_QUOTAS = 3


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Add partitions to each topic, or only say whether it could be done."""
    strict = context.api_version >= _KNOWS_QUOTAS
    mutations = broker.quotas.mutations(context.listener, context.client_id, strict=strict)
    times = Counter(topic.name for topic in request.topics)
    by_name = {topic.name: topic for topic in request.topics}
    results = []
    for name, count in times.items():
        if count > 1:
            refusal: Refusal | None = Refusal(Code.INVALID_REQUEST, "Duplicate topic name.")
        else:
            refusal = await _create(broker, by_name[name], request.validate_only, mutations)
        results.append({"name": name, **outcome(refusal)})
    return {"results": results, "throttle_time_ms": mutations.throttle_ms}


async def _create(
    broker: "Broker", topic: Any, validate_only: bool, mutations: Mutations
) -> Refusal | None:
    known = broker.metadata.image.topics.get(topic.name)
    have = 0 if known is None else len(known.partitions)
    if topic.count - have > broker.settings.partitions_per_request_max:
        return too_many(broker.settings)
    assignments = None
    if topic.assignments is not None:
        assignments = tuple(tuple(a.broker_ids) for a in topic.assignments)
    more = MorePartitions(name=topic.name, partition_count=topic.count, assignments=assignments)
    refusal = await broker.controller.create_partitions(
        more, validate_only=validate_only, charge=mutations.charge
    )
    await broker.partitions.all_open()
    return refusal
