"""SyncGroup v0-v5. Behaviour: the leader's assignment is written to the log before anybody gets
it; others wait for it. From v5 protocol type and name must be given and must be the group's.
"""

from typing import TYPE_CHECKING, Any, Final

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.rebalance import sync_error
from headrace.core.groups.requests import Sync
from headrace.core.groups.shard import GroupShard
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_PROTOCOL_REQUIRED_FROM: Final = 5


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The member's assignment, once the leader has given it."""
    protocol_type = getattr(request, "protocol_type", None)
    protocol_name = getattr(request, "protocol_name", None)
    required = context.api_version >= _PROTOCOL_REQUIRED_FROM
    if required and (protocol_type is None or protocol_name is None):
        return sync_error(Code.INCONSISTENT_GROUP_PROTOCOL)
    if not request.group_id:
        return sync_error(Code.INVALID_GROUP_ID)
    asked = Sync(
        group_id=request.group_id,
        generation_id=request.generation_id,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
        protocol_type=protocol_type,
        protocol_name=protocol_name,
        assignments=tuple((item.member_id, item.assignment) for item in request.assignments),
    )

    def sync(shard: GroupShard, token: int, now: Now) -> Outcome:
        return shard.sync(asked, token, now)

    answer: Fields = await broker.groups.ask(asked.group_id, sync, sync_error)
    return answer
