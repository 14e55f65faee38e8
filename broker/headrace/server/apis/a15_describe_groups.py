"""DescribeGroups v0-v6. Behaviour: state, protocol and members; metadata of members only while
the group is stable. A group that does not exist is Dead, from v6 with GROUP_ID_NOT_FOUND.

Skipped: DescribeGroups describes a group that is named twice once; Kafka twice.
"""

from typing import TYPE_CHECKING, Any, Final

from headrace.base.errors import Code
from headrace.core.authorized import GROUP_OPERATIONS, NOT_ASKED
from headrace.server.apis.named_once import named_once
from headrace.server.coordinator import awaited
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_NOT_FOUND_FROM: Final = 6


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Each group as it is."""
    asked = getattr(request, "include_authorized_operations", False)
    operations = GROUP_OPERATIONS if asked else NOT_ASKED
    return {
        "groups": [
            await _describe(broker, group_id, context.api_version, operations)
            async for group_id in named_once(request.groups)
        ]
    }


async def _describe(broker: "Broker", group_id: str, version: int, operations: int) -> Fields:
    found: Fields | None = await awaited(
        broker.groups.read(
            group_id,
            lambda shard: shard.describe(group_id),
            lambda code: _blank(group_id, "", code),
        )
    )
    if found is None:
        if version < _NOT_FOUND_FROM:
            return {
                **_blank(group_id, "Dead", Code.NONE),
                "authorized_operations": operations,
            }
        message = f"Group {group_id} not found."
        return {**_blank(group_id, "Dead", Code.GROUP_ID_NOT_FOUND), "error_message": message}
    if found["error_code"] != Code.NONE:
        return found
    return {**found, "error_message": None, "authorized_operations": operations}


def _blank(group_id: str, state: str, code: Code) -> Fields:
    return {
        "error_code": code,
        "error_message": None,
        "group_id": group_id,
        "group_state": state,
        "protocol_type": "",
        "protocol_data": "",
        "members": (),
        "authorized_operations": NOT_ASKED,
    }
