"""ListGroups v0-v5. Behaviour: the groups that this broker coordinates, by state (v4) and type
(v5) if asked; COORDINATOR_LOAD_IN_PROGRESS while any of them loads.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.server.coordinator import awaited
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Groups of every shard."""
    states = frozenset(s.strip().lower() for s in getattr(request, "states_filter", ()))
    types = frozenset(t.lower() for t in getattr(request, "types_filter", ()))
    groups: list[Fields] = []
    for index in broker.groups.led:
        listed: list[Fields] | Code = await awaited(
            broker.groups.read_at(
                index, lambda shard: shard.list_groups(states, types), lambda code: code
            )
        )
        if isinstance(listed, Code):
            if listed is not Code.NOT_COORDINATOR:
                return {"error_code": listed, "groups": ()}
        else:
            groups += listed
    return {"error_code": Code.NONE, "groups": groups}
