"""JoinGroup: who may join, as whom, and whether that asks for a rebalance.

A dynamic member is first told its id (KIP-394), then joins with it. A static member (KIP-345)
that comes back without its id takes over its predecessor's place under a new id; where the
group is stable and would choose the same protocol, nobody else notices.
"""

from collections.abc import Callable

from headrace.base.errors import Code
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups import records
from headrace.core.groups.group import NO_MEMBER_ID, ClassicGroup, GroupState, Member
from headrace.core.groups.rebalance import (
    NEW_MEMBER_JOIN_TIMEOUT_MS,
    Rebalances,
    Session,
    join_error,
    joined,
    sync_error,
)
from headrace.core.groups.requests import Join


def join(
    rebalances: Rebalances, group: ClassicGroup, request: Join, token: int, now: Now
) -> Outcome:
    """Handle a JoinGroup for a group that exists."""
    out = Outcome()
    if not _has_room(group, request.member_id, rebalances.settings.group_max_size):
        group.remove(request.member_id)
        rebalances.timers.cancel(Session(group.group_id, request.member_id))
        out.answer = join_error(NO_MEMBER_ID, Code.GROUP_MAX_SIZE_REACHED)
    elif not group.supports(request.protocol_type, request.protocols):
        out.answer = join_error(request.member_id, Code.INCONSISTENT_GROUP_PROTOCOL)
    elif request.member_id == NO_MEMBER_ID:
        _join_new(rebalances, group, request, token, out, now)
    else:
        _join_known(rebalances, group, request, token, out, now)
    return out


def _has_room(group: ClassicGroup, member_id: str, members_max: int) -> bool:
    """While members rejoin, those that have are counted, so a shrunk limit evicts the last."""
    if group.state is GroupState.EMPTY:
        return True
    member = group.members.get(member_id)
    if group.state is GroupState.PREPARING_REBALANCE:
        waits = member is not None and member.join_token is not None
        return waits or group.awaiting_joins < members_max
    return member is not None or len(group.members) < members_max


def _join_new(
    rebalances: Rebalances,
    group: ClassicGroup,
    request: Join,
    token: int,
    out: Outcome,
    now: Now,
) -> None:
    instance_id = request.group_instance_id
    if instance_id is not None:
        member_id = f"{instance_id}-{request.fresh_id}"
        if instance_id in group.static_members:
            _replace_static(rebalances, group, request, member_id, token, out, now)
        else:
            _add(rebalances, group, request, member_id, token, out, now)
        return
    member_id = f"{request.client_id}-{request.fresh_id}"
    if request.needs_member_id:
        group.pending_joins[member_id] = None
        rebalances.timers.set(
            Session(group.group_id, member_id), now.monotonic_ms + request.session_timeout_ms
        )
        out.answer = join_error(member_id, Code.MEMBER_ID_REQUIRED)
    else:
        _add(rebalances, group, request, member_id, token, out, now)


def _add(
    rebalances: Rebalances,
    group: ClassicGroup,
    request: Join,
    member_id: str,
    token: int,
    out: Outcome,
    now: Now,
) -> None:
    if group.initial_delay is not None:
        group.member_joined_late = True
    member = Member(
        member_id=member_id,
        group_instance_id=request.group_instance_id,
        client_id=request.client_id,
        client_host=request.client_host,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        session_timeout_ms=request.session_timeout_ms,
        protocols=request.protocols,
        is_new=True,
    )
    group.add(member, request.protocol_type, token)
    rebalances.extend_session(group, member, now, NEW_MEMBER_JOIN_TIMEOUT_MS)
    rebalances.prepare_or_complete(group, out, now)


def _join_known(
    rebalances: Rebalances,
    group: ClassicGroup,
    request: Join,
    token: int,
    out: Outcome,
    now: Now,
) -> None:
    member_id = request.member_id
    if member_id in group.pending_joins:
        if request.group_instance_id is not None:
            # Ids are given out to dynamic members alone. Kafka fails on this with the same code.
            out.answer = join_error(member_id, Code.UNKNOWN_SERVER_ERROR)
        else:
            _add(rebalances, group, request, member_id, token, out, now)
        return
    refusal = group.refuses(member_id, request.group_instance_id)
    if refusal is None and group.state is GroupState.EMPTY:
        refusal = Code.UNKNOWN_MEMBER_ID
    if refusal is not None:
        out.answer = join_error(member_id, refusal)
        return
    member = group.members[member_id]
    leads = group.leader_id == member_id
    unchanged = member.protocols == request.protocols
    if group.state is GroupState.COMPLETING_REBALANCE and unchanged:
        # It may have missed the answer to its join: tell it again.
        out.answer = joined(group, member_id, with_members=leads)
    elif group.state is GroupState.STABLE and unchanged and not leads:
        out.answer = joined(group, member_id, with_members=False)
    else:
        # A leader that joins a stable group asks for a rebalance: topics may have changed.
        _update(group, member, request, token, out)
        rebalances.prepare_or_complete(group, out, now)


def _update(group: ClassicGroup, member: Member, request: Join, token: int, out: Outcome) -> None:
    replaced = group.update(
        member,
        request.protocols,
        request.rebalance_timeout_ms,
        request.session_timeout_ms,
        token,
    )
    if replaced is not None:
        # The member asked twice; whoever still waits for the first answer joins again.
        out.replies.append((replaced, join_error(member.member_id, Code.REBALANCE_IN_PROGRESS)))


def _replace_static(
    rebalances: Rebalances,
    group: ClassicGroup,
    request: Join,
    member_id: str,
    token: int,
    out: Outcome,
    now: Now,
) -> None:
    instance_id = request.group_instance_id or ""
    old_id = group.static_members[instance_id]
    old = group.members[old_id]
    leader_before = group.leader_id or ""
    before = (old.protocols, old.rebalance_timeout_ms, old.session_timeout_ms)
    _fence(group, old, out)
    member = group.replace_static(instance_id, old_id, member_id)
    rebalances.timers.cancel(Session(group.group_id, old_id))
    _update(group, member, request, token, out)
    rebalances.extend_session(group, member, now)
    if group.state is GroupState.COMPLETING_REBALANCE:
        # The leader may be assigning to the old id right now.
        rebalances.prepare(group, out, now)
    elif group.state is not GroupState.STABLE:
        rebalances.complete_if_all_joined(group, out, now)
    elif group.select_protocol() != group.protocol_name:
        rebalances.prepare_or_complete(group, out, now)
    else:
        assignments = {m.member_id: m.assignment for m in group.members.values()}
        out.records.append(records.group_metadata(group, assignments))
        out.then = _replaced(
            rebalances, group, request, member, token, old_id, leader_before, before
        )


def _fence(group: ClassicGroup, old: Member, out: Outcome) -> None:
    """Whoever still speaks under the old id is told that another took its place."""
    waiting = group.take_join(old)
    if waiting is not None:
        out.replies.append((waiting, join_error(old.member_id, Code.FENCED_INSTANCE_ID)))
    if old.sync_token is not None:
        out.replies.append((old.sync_token, sync_error(Code.FENCED_INSTANCE_ID)))
        old.sync_token = None


def _replaced(
    rebalances: Rebalances,
    group: ClassicGroup,
    request: Join,
    member: Member,
    token: int,
    old_id: str,
    leader_before: str,
    before: tuple[tuple[tuple[str, bytes], ...], int, int],
) -> Callable[[Code, Now], Outcome]:
    """What happens once the new id is written: answer, or give the old id its place back."""

    def then(code: Code, now: Now) -> Outcome:
        out = Outcome()
        if member.join_token != token:
            # Answered meanwhile, by a rebalance or another takeover.
            return out
        group.take_join(member)
        if code is not Code.NONE:
            group.update(member, *before, None)
            rebalances.timers.cancel(Session(group.group_id, member.member_id))
            old = group.replace_static(member.group_instance_id or "", member.member_id, old_id)
            rebalances.extend_session(group, old, now)
            out.replies.append((token, join_error(NO_MEMBER_ID, code)))
            return out
        # Its session was not watched while it waited.
        rebalances.extend_session(group, member, now)
        if request.may_skip_assignment:
            leads = group.leader_id == member.member_id
            answer = joined(group, member.member_id, with_members=leads)
            out.replies.append((token, {**answer, "skip_assignment": leads}))
        else:
            # Before v9 a leader is told that its old self leads, so that it does not assign.
            answer = joined(group, member.member_id, with_members=False, leader=leader_before)
            out.replies.append((token, answer))
        return out

    return then
