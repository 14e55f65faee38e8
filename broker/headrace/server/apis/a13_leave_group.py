"""LeaveGroup v0-v5. Behaviour: one member before v3, several from then on; a static member can
be removed by its instance id alone.
"""

from typing import TYPE_CHECKING, Any, Final

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.requests import Leave
from headrace.core.groups.shard import GroupShard
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_BATCHED_FROM: Final = 3


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Whether each member was removed."""
    if not request.group_id:
        return {"error_code": Code.INVALID_GROUP_ID, "members": ()}
    batched = context.api_version >= _BATCHED_FROM
    members = (
        tuple((item.member_id, item.group_instance_id) for item in request.members)
        if batched
        else ((request.member_id, None),)
    )
    asked = Leave(group_id=request.group_id, members=members)

    def leave(shard: GroupShard, token: int, now: Now) -> Outcome:
        return shard.leave(asked, token, now)

    answer: Fields = await broker.groups.ask(
        asked.group_id, leave, lambda code: {"error_code": code, "members": ()}
    )
    if batched or answer["error_code"] != Code.NONE:
        return answer
    return {"error_code": answer["members"][0]["error_code"]}
