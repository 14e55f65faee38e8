"""Heartbeat v0-v4. Behaviour: extends the session; REBALANCE_IN_PROGRESS asks to rejoin. While
the coordinator loads, heartbeats are answered as good, as in Kafka.
"""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.requests import Heartbeat
from headrace.core.groups.shard import GroupShard
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker


def handle(
    broker: "Broker", request: Any, context: RequestContext
) -> Fields | Coroutine[Any, Any, Fields]:
    """Whether the member is still part of the generation it names."""
    if not request.group_id:
        return {"error_code": Code.INVALID_GROUP_ID}
    asked = Heartbeat(
        group_id=request.group_id,
        generation_id=request.generation_id,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
    )

    def beat(shard: GroupShard, token: int, now: Now) -> Outcome:
        return shard.heartbeat(asked, token, now)

    answered: Fields | Coroutine[Any, Any, Fields] = broker.groups.submit(
        asked.group_id, beat, _refused
    )
    return answered


def _refused(code: Code) -> Fields:
    return {"error_code": Code.NONE if code is Code.COORDINATOR_LOAD_IN_PROGRESS else code}
