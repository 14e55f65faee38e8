"""DeleteGroups v0-v2. Behaviour: an empty group and its offsets go; others are NON_EMPTY_GROUP."""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.shard import GroupShard
from headrace.server.apis.named_once import named_once
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The outcome for each group, once each."""
    return {
        "results": [
            {"group_id": group_id, "error_code": await _delete(broker, group_id)}
            async for group_id in named_once(request.groups_names)
        ]
    }


async def _delete(broker: "Broker", group_id: str) -> Code:
    def delete(shard: GroupShard, token: int, now: Now) -> Outcome:
        return shard.delete_group(group_id)

    code: Code = await broker.groups.ask(group_id, delete, lambda code: code)
    return code
