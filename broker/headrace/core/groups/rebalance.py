"""How a rebalance begins, waits and ends: what joining, syncing, leaving and timers have in common.

Each step fills the `Outcome` of the event at hand; answers name waiting requests by token.
Timers: a member's session (also of ids given out and not used), the join phase (the initial
delay or the rebalance timeout), the sync phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.base.errors import Code
from headrace.config.broker import BrokerSettings
from headrace.core.coordinator import Now, Outcome
from headrace.core.coordinator_timers import Timers
from headrace.core.groups import records
from headrace.core.groups.group import NO_GENERATION, ClassicGroup, GroupState, Member

NEW_MEMBER_JOIN_TIMEOUT_MS: Final = 5 * 60 * 1000
"""How long a new member may wait in a join: it has no id yet, so it cannot heartbeat (Kafka's)."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """Timer: the member was silent for its session timeout."""

    group_id: str
    member_id: str


@dataclass(frozen=True, slots=True)
class JoinPhase:
    """Timer: the initial delay or the time to rejoin is over."""

    group_id: str


@dataclass(frozen=True, slots=True)
class SyncPhase:
    """Timer: members had the rebalance timeout to ask for their assignment."""

    group_id: str


TimerKey = Session | JoinPhase | SyncPhase | str


def join_error(member_id: str, code: Code) -> Fields:
    """The answer to a join that failed."""
    return {
        "error_code": code,
        "generation_id": NO_GENERATION,
        "protocol_type": None,
        "protocol_name": None,
        "leader": "",
        "member_id": member_id,
        "members": (),
    }


def joined(
    group: ClassicGroup, member_id: str, *, with_members: bool, leader: str | None = None
) -> Fields:
    """The answer to a join of this generation; only leaders see the members."""
    return {
        "error_code": Code.NONE,
        "generation_id": group.generation_id,
        "protocol_type": group.protocol_type,
        "protocol_name": group.protocol_name,
        "leader": (group.leader_id if leader is None else leader) or "",
        "skip_assignment": False,
        "member_id": member_id,
        "members": members_of(group) if with_members else (),
    }


def members_of(group: ClassicGroup) -> list[Fields]:
    """What the leader sees of each member."""
    name = group.protocol_name or ""
    return [
        {
            "member_id": member.member_id,
            "group_instance_id": member.group_instance_id,
            "metadata": member.metadata(name),
        }
        for member in group.members.values()
    ]


def sync_error(code: Code) -> Fields:
    """The answer to a sync that failed."""
    return {"error_code": code, "protocol_type": None, "protocol_name": None, "assignment": b""}


def synced(group: ClassicGroup, member: Member) -> Fields:
    """The answer to a sync of this generation."""
    return {
        "error_code": Code.NONE,
        "protocol_type": group.protocol_type,
        "protocol_name": group.protocol_name,
        "assignment": member.assignment,
    }


class Rebalances:
    """The phases of rebalances of all groups of a shard."""

    __slots__ = ("settings", "timers")

    def __init__(self, settings: BrokerSettings, timers: Timers[TimerKey]) -> None:
        self.settings = settings
        self.timers = timers

    def extend_session(
        self, group: ClassicGroup, member: Member, now: Now, timeout_ms: int | None = None
    ) -> None:
        """The member was heard of."""
        self.timers.set(
            Session(group.group_id, member.member_id),
            now.monotonic_ms + (member.session_timeout_ms if timeout_ms is None else timeout_ms),
        )

    def prepare_or_complete(self, group: ClassicGroup, out: Outcome, now: Now) -> None:
        """Something changed that asks for a rebalance, or may end the one that is under way."""
        if group.can_rebalance:
            self.prepare(group, out, now)
        else:
            self.complete_if_all_joined(group, out, now)

    def prepare(self, group: ClassicGroup, out: Outcome, now: Now) -> None:
        """Ask everybody to join again; the first members of an empty group wait for more."""
        if group.state is GroupState.COMPLETING_REBALANCE:
            for member in group.members.values():
                member.assignment = b""
            self.answer_syncs(group, Code.REBALANCE_IN_PROGRESS, out, now)
        group.pending_syncs.clear()
        self.timers.cancel(SyncPhase(group.group_id))
        initial = group.state is GroupState.EMPTY
        group.become(GroupState.PREPARING_REBALANCE, now.wall_ms)
        if initial:
            delay_ms = self.settings.group_initial_rebalance_delay_ms
            group.initial_delay = (delay_ms, max(group.rebalance_timeout_ms - delay_ms, 0))
            group.member_joined_late = False
            self.timers.set(JoinPhase(group.group_id), now.monotonic_ms + delay_ms)
        elif group.all_joined:
            self.complete(group, out, now)
        else:
            self.timers.set(
                JoinPhase(group.group_id), now.monotonic_ms + group.rebalance_timeout_ms
            )

    def complete_if_all_joined(self, group: ClassicGroup, out: Outcome, now: Now) -> None:
        """End the join phase early; never the initial delay, which waits for the unknown."""
        if (
            group.state is GroupState.PREPARING_REBALANCE
            and group.previous_state is not GroupState.EMPTY
            and group.all_joined
        ):
            self.complete(group, out, now)

    def join_phase_over(self, group: ClassicGroup, out: Outcome, now: Now) -> None:
        """The join timer fired: extend the initial delay once more or go on without the rest."""
        if group.initial_delay is not None:
            delay_ms, remaining_ms = group.initial_delay
            if group.member_joined_late and remaining_ms:
                group.member_joined_late = False
                next_ms = min(self.settings.group_initial_rebalance_delay_ms, remaining_ms)
                group.initial_delay = (next_ms, max(remaining_ms - delay_ms, 0))
                self.timers.set(JoinPhase(group.group_id), now.monotonic_ms + next_ms)
                return
        self.complete(group, out, now)

    def complete(self, group: ClassicGroup, out: Outcome, now: Now) -> None:
        """End the join phase: drop dynamic members that did not rejoin, begin the generation."""
        self.timers.cancel(JoinPhase(group.group_id))
        group.initial_delay = None
        for member in tuple(group.members.values()):
            if member.join_token is None and member.group_instance_id is None:
                group.remove(member.member_id)
                self.timers.cancel(Session(group.group_id, member.member_id))
        if group.members and not group.elect_joined_leader():
            # Only static members that did not rejoin are left: their sessions end them.
            self.timers.set(
                JoinPhase(group.group_id), now.monotonic_ms + group.rebalance_timeout_ms
            )
            return
        group.begin_generation(now.wall_ms)
        if group.state is GroupState.EMPTY:
            out.records.append(records.group_metadata(group, {}))
            return
        for member in group.members.values():
            token = group.take_join(member)
            if token is not None:
                leads = group.leader_id == member.member_id
                out.replies.append((token, joined(group, member.member_id, with_members=leads)))
            self.extend_session(group, member, now)
            member.is_new = False
            group.pending_syncs[member.member_id] = None
        self.timers.set(SyncPhase(group.group_id), now.monotonic_ms + group.rebalance_timeout_ms)

    def sync_phase_over(self, group: ClassicGroup, out: Outcome, now: Now) -> None:
        """Drop the members that never asked for their assignment and rebalance without them."""
        if not group.pending_syncs:
            return
        for member_id in tuple(group.pending_syncs):
            group.remove(member_id)
            self.timers.cancel(Session(group.group_id, member_id))
        self.prepare(group, out, now)

    def session_over(self, group: ClassicGroup, member_id: str, out: Outcome, now: Now) -> None:
        """A session timer fired: drop the member, unless it waits for the group itself."""
        if member_id in group.pending_joins:
            group.remove(member_id)
            if group.state is GroupState.PREPARING_REBALANCE and group.all_joined:
                self.complete(group, out, now)
            return
        member = group.members.get(member_id)
        if member is None:
            return
        waits = member.join_token is not None or member.sync_token is not None
        if waits and not member.is_new:
            return
        self.drop(group, member, out)
        if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            self.prepare_or_complete(group, out, now)
        elif group.state is GroupState.PREPARING_REBALANCE and group.all_joined:
            self.complete(group, out, now)

    def drop(self, group: ClassicGroup, member: Member, out: Outcome) -> None:
        """Remove a member; what it waits on is answered so that it joins anew if it lives."""
        token = group.take_join(member)
        if token is not None:
            out.replies.append((token, join_error("", Code.UNKNOWN_MEMBER_ID)))
        if member.sync_token is not None:
            out.replies.append((member.sync_token, sync_error(Code.UNKNOWN_MEMBER_ID)))
            member.sync_token = None
        group.remove(member.member_id)
        self.timers.cancel(Session(group.group_id, member.member_id))

    def answer_syncs(self, group: ClassicGroup, code: Code, out: Outcome, now: Now) -> None:
        """Answer everybody that waits for an assignment with it, or with the error."""
        for member in group.members.values():
            token, member.sync_token = member.sync_token, None
            if token is not None:
                answer = synced(group, member) if code is Code.NONE else sync_error(code)
                out.replies.append((token, answer))
                # Its session was not watched while it waited.
                self.extend_session(group, member, now)
