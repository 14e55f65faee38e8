"""SyncGroup, Heartbeat and LeaveGroup: what members say between two joins."""

from collections.abc import Callable

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups import records
from headrace.core.groups.group import NO_MEMBER_ID, ClassicGroup, GroupState
from headrace.core.groups.rebalance import (
    Fields,
    Rebalances,
    Session,
    SyncPhase,
    sync_error,
    synced,
)
from headrace.core.groups.requests import Heartbeat, Leave, Sync


def sync(
    rebalances: Rebalances, group: ClassicGroup, request: Sync, token: int, now: Now
) -> Outcome:
    """Hand out assignments. The leader's are written first; until then everybody waits."""
    out = Outcome()
    refusal = _refuses_sync(group, request)
    if refusal is not None:
        out.answer = sync_error(refusal)
        return out
    member = group.members[request.member_id]
    group.pending_syncs.pop(member.member_id, None)
    if not group.pending_syncs:
        rebalances.timers.cancel(SyncPhase(group.group_id))
    if group.state is GroupState.STABLE:
        out.answer = synced(group, member)
        return out
    if member.sync_token is not None:
        out.replies.append((member.sync_token, sync_error(Code.REBALANCE_IN_PROGRESS)))
    member.sync_token = token
    if group.leader_id == member.member_id and group.assigning != group.generation_id:
        group.assigning = group.generation_id
        given = dict(request.assignments)
        assignments = {member_id: given.get(member_id, b"") for member_id in group.members}
        out.records.append(records.group_metadata(group, assignments))
        out.then = _assigned(rebalances, group, assignments)
    return out


def _refuses_sync(group: ClassicGroup, request: Sync) -> Code | None:
    if group.state is GroupState.EMPTY:
        return Code.UNKNOWN_MEMBER_ID
    refusal = group.refuses(request.member_id, request.group_instance_id)
    if refusal is not None:
        return refusal
    if request.generation_id != group.generation_id:
        return Code.ILLEGAL_GENERATION
    if _differs(request.protocol_type, group.protocol_type) or _differs(
        request.protocol_name, group.protocol_name
    ):
        return Code.INCONSISTENT_GROUP_PROTOCOL
    if group.state is GroupState.PREPARING_REBALANCE:
        return Code.REBALANCE_IN_PROGRESS
    return None


def _differs(asked: str | None, actual: str | None) -> bool:
    return asked is not None and actual is not None and asked != actual


def _assigned(
    rebalances: Rebalances, group: ClassicGroup, assignments: dict[str, bytes]
) -> Callable[[Code, Now], Outcome]:
    """What happens once the assignment is written, if that generation still waits for it."""
    generation_id = group.generation_id

    def then(code: Code, now: Now) -> Outcome:
        out = Outcome()
        if group.assigning == generation_id:
            group.assigning = None
        if (
            group.state is not GroupState.COMPLETING_REBALANCE
            or group.generation_id != generation_id
        ):
            return out
        if code is Code.NONE:
            for member in group.members.values():
                member.assignment = assignments.get(member.member_id, b"")
            rebalances.answer_syncs(group, Code.NONE, out, now)
            group.become(GroupState.STABLE, now.wall_ms)
        else:
            rebalances.answer_syncs(group, code, out, now)
            rebalances.prepare_or_complete(group, out, now)
        return out

    return then


def heartbeat(rebalances: Rebalances, group: ClassicGroup, request: Heartbeat, now: Now) -> Fields:
    """Extend the member's session and say whether it must rejoin."""
    refusal = group.refuses(request.member_id, request.group_instance_id)
    if refusal is None and request.generation_id != group.generation_id:
        refusal = Code.ILLEGAL_GENERATION
    if refusal is not None:
        return {"error_code": refusal}
    rebalances.extend_session(group, group.members[request.member_id], now)
    if group.state is GroupState.PREPARING_REBALANCE:
        return {"error_code": Code.REBALANCE_IN_PROGRESS}
    return {"error_code": Code.NONE}


def leave(rebalances: Rebalances, group: ClassicGroup, request: Leave, now: Now) -> Outcome:
    """Remove members at their wish, or static ones at an administrator's, by instance id."""
    out = Outcome()
    answers = []
    for member_id, instance_id in request.members:
        code = _leave_one(rebalances, group, member_id, instance_id, out)
        answers.append(
            {"member_id": member_id, "group_instance_id": instance_id, "error_code": code}
        )
    out.answer = {"error_code": Code.NONE, "members": answers}
    if any(answer["error_code"] is Code.NONE for answer in answers):
        if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            rebalances.prepare_or_complete(group, out, now)
        elif group.state is GroupState.PREPARING_REBALANCE:
            rebalances.complete_if_all_joined(group, out, now)
    return out


def _leave_one(
    rebalances: Rebalances,
    group: ClassicGroup,
    member_id: str,
    instance_id: str | None,
    out: Outcome,
) -> Code:
    if member_id == NO_MEMBER_ID:
        known = None if instance_id is None else group.static_members.get(instance_id)
        if known is None:
            return Code.UNKNOWN_MEMBER_ID
        member_id = known
    elif member_id in group.pending_joins:
        group.remove(member_id)
        rebalances.timers.cancel(Session(group.group_id, member_id))
        return Code.NONE
    else:
        refusal = group.refuses(member_id, instance_id)
        if refusal is not None:
            return refusal
    rebalances.drop(group, group.members[member_id], out)
    return Code.NONE
