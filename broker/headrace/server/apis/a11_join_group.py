"""JoinGroup v0-v9. Behaviour: the classic protocol whole, see core.groups.join. From v4 a new
dynamic member is first given its id (MEMBER_ID_REQUIRED); v9 can skip the leader's assignment.

Skipped: a member that joins twice at once has its first request answered with
REBALANCE_IN_PROGRESS; Kafka leaves it unanswered.
"""

import uuid
from typing import TYPE_CHECKING, Any, Final

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.group import NO_MEMBER_ID
from headrace.core.groups.rebalance import join_error
from headrace.core.groups.requests import Join
from headrace.core.groups.shard import GroupShard
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire.messages import ms
from headrace.wire.offsets_topic import STRING_BYTES_MAX, fits

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_MEMBER_ID_REQUIRED_FROM: Final = 4
_PROTOCOL_NULLABLE_FROM: Final = 7
_SKIP_ASSIGNMENT_FROM: Final = 9

_PREFIX_BYTES_MAX: Final = STRING_BYTES_MAX - len(f"-{uuid.UUID(int=0)}")
"""What a client's or an instance's id may measure: a member's id is it and a UUID."""


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The member's place in the next generation, once that begins."""
    answer = await _join(broker, request, context)
    name = answer["protocol_name"] or None
    if name is None and context.api_version < _PROTOCOL_NULLABLE_FROM:
        name = ""
    return {**answer, "protocol_name": name}


async def _join(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    settings, version = broker.settings, context.api_version
    session_ms = ms(request.session_timeout)
    if not request.group_id:
        return join_error(request.member_id, Code.INVALID_GROUP_ID)
    if not _fits(request, context):
        return join_error(NO_MEMBER_ID, Code.INVALID_REQUEST)
    bounds = settings.group_min_session_timeout_ms, settings.group_max_session_timeout_ms
    if not bounds[0] <= session_ms <= bounds[1]:
        return join_error(request.member_id, Code.INVALID_SESSION_TIMEOUT)
    asked = Join(
        group_id=request.group_id,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
        client_id=context.client_id or "",
        # Java shows an address behind a slash, and tools cut that off.
        client_host=f"/{context.peer_host}",
        session_timeout_ms=session_ms,
        # v0 has no rebalance timeout.
        rebalance_timeout_ms=ms(request.rebalance_timeout) if version > 0 else session_ms,
        protocol_type=request.protocol_type,
        protocols=tuple((item.name, item.metadata) for item in request.protocols),
        fresh_id=str(uuid.uuid4()),
        needs_member_id=version >= _MEMBER_ID_REQUIRED_FROM,
        may_skip_assignment=version >= _SKIP_ASSIGNMENT_FROM,
    )

    def join(shard: GroupShard, token: int, now: Now) -> Outcome:
        return shard.join(asked, token, now)

    answer: Fields = await broker.groups.ask(
        asked.group_id, join, lambda code: join_error("", code)
    )
    return answer


def _fits(request: Any, context: RequestContext) -> bool:
    """Whether everything that the group's record will hold has a place in it."""
    names = [item.name for item in request.protocols]
    if not fits(request.member_id, request.protocol_type, *names):
        return False
    prefix = getattr(request, "group_instance_id", None) or context.client_id or ""
    return len(prefix) <= _PREFIX_BYTES_MAX // 4 or len(prefix.encode()) <= _PREFIX_BYTES_MAX
