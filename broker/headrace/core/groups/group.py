"""A classic consumer group: its members, their votes, its state. No timers, no records.

Transitions: Empty -> PreparingRebalance (somebody joins) -> CompletingRebalance (everybody
joined, or the time is up) -> Stable (the leader's assignment is written). Stable and
CompletingRebalance go back to PreparingRebalance when members come, go or change; a rebalance
that nobody joins ends in Empty. Any state -> Dead when the shard is given up.

Invariants (`check`):
- `awaiting_joins` is the number of members that wait for a join answer;
- `supported` counts, for each protocol, the members that offer it;
- the leader is a member; static ids map to members; nobody is both pending and a member;
- only PreparingRebalance has members waiting to join, but for a static member whose new id is
  being written in Stable; only CompletingRebalance has members waiting for the assignment.

Source: KIP-62, KIP-134, KIP-345, KIP-394; the behaviour of Kafka 4.3's group coordinator.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from headrace.base.errors import Code
from headrace.base.invariant import invariant
from headrace.core.groups.subscription import subscribed_topics

CONSUMER_PROTOCOL_TYPE: Final = "consumer"
NO_MEMBER_ID: Final = ""
NO_GENERATION: Final = -1
_REBALANCE_TIMEOUT_MS_MIN: Final = 1000
"""A phase that waits for silent static members is timed again and again: 0 would be a busy loop."""

Protocols = tuple[tuple[str, bytes], ...]
"""(name, metadata) in the member's order of preference."""


class GroupType(Enum):
    """What protocol a group speaks; the values are the names that ListGroups shows."""

    CLASSIC = "classic"


class GroupState(Enum):
    """The values are the names that DescribeGroups and ListGroups show."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


_BEFORE: Final = {
    GroupState.EMPTY: (GroupState.PREPARING_REBALANCE,),
    GroupState.PREPARING_REBALANCE: (
        GroupState.STABLE,
        GroupState.COMPLETING_REBALANCE,
        GroupState.EMPTY,
    ),
    GroupState.COMPLETING_REBALANCE: (GroupState.PREPARING_REBALANCE,),
    GroupState.STABLE: (GroupState.COMPLETING_REBALANCE,),
    GroupState.DEAD: tuple(GroupState),
}


@dataclass(slots=True, kw_only=True)
class Member:
    """Mutable: a member is updated in place. Tokens name the requests it waits on."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocols: Protocols
    assignment: bytes = b""
    is_new: bool = False
    join_token: int | None = None
    sync_token: int | None = None

    def metadata(self, protocol: str) -> bytes:
        """What the member said for that protocol."""
        for name, metadata in self.protocols:
            if name == protocol:
                return metadata
        invariant(False, "a member is asked for a protocol it has not", protocol=protocol)
        return b""


class ClassicGroup:
    """Mutable; see the module for its states and invariants."""

    __slots__ = (
        "assigning",
        "awaiting_joins",
        "generation_id",
        "group_id",
        "initial_delay",
        "leader_id",
        "member_joined_late",
        "members",
        "pending_joins",
        "pending_syncs",
        "previous_state",
        "protocol_name",
        "protocol_type",
        "state",
        "state_since_ms",
        "static_members",
        "subscribed",
        "supported",
        "written",
    )

    type = GroupType.CLASSIC

    def __init__(self, group_id: str, wall_ms: int | None) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.previous_state = GroupState.DEAD
        self.state_since_ms = wall_ms
        """Wall time; None where an old record does not say."""
        self.generation_id = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        self.pending_joins: dict[str, None] = {}
        """Ids given out with MEMBER_ID_REQUIRED and not yet used, in order."""
        self.pending_syncs: dict[str, None] = {}
        """Members of this generation that have not asked for their assignment, in order."""
        self.supported: dict[str, int] = {}
        self.awaiting_joins = 0
        self.subscribed: frozenset[str] | None = None
        """Topics that the members subscribe to; None where that cannot be known."""
        self.member_joined_late = False
        """Somebody joined while the initial delay ran, so it is extended once more."""
        self.initial_delay: tuple[int, int] | None = None
        """(delay, what remains of it to extend) in ms while an initial delay runs."""
        self.assigning: int | None = None
        """The generation whose assignment is being written: it is taken once."""
        self.written: Any = None
        """The value of the last GroupMetadata record: durable, set by replay alone."""

    # State.

    def become(self, state: GroupState, wall_ms: int) -> None:
        """Enter a state from one that may precede it."""
        invariant(
            self.state in _BEFORE[state],
            "a group changes state along the allowed ways",
            group=self.group_id,
            state=self.state,
            target=state,
        )
        self.previous_state = self.state
        self.state = state
        self.state_since_ms = wall_ms

    @property
    def can_rebalance(self) -> bool:
        return self.state in _BEFORE[GroupState.PREPARING_REBALANCE]

    @property
    def all_joined(self) -> bool:
        return len(self.members) == self.awaiting_joins and not self.pending_joins

    @property
    def rebalance_timeout_ms(self) -> int:
        """The longest any member asks for, and at least what keeps a timer from spinning.

        Nobody is waited for where no member is left: who only holds an id counts for nothing.
        """
        if not self.members:
            return 0
        longest = max(m.rebalance_timeout_ms for m in self.members.values())
        return max(longest, _REBALANCE_TIMEOUT_MS_MIN)

    def begin_generation(self, wall_ms: int) -> None:
        """Everybody who will join has joined: count up, choose a protocol or become empty."""
        self.generation_id += 1
        self.protocol_name = self.select_protocol() if self.members else None
        self.subscribed = self.compute_subscribed()
        self.pending_syncs.clear()
        self.become(GroupState.COMPLETING_REBALANCE if self.members else GroupState.EMPTY, wall_ms)

    # Members.

    def add(self, member: Member, protocol_type: str | None, join_token: int | None) -> None:
        """Add a member whose protocols the group supports; the first sets the group's type."""
        if not self.members:
            self.protocol_type = protocol_type
        if member.group_instance_id is not None:
            invariant(
                member.group_instance_id not in self.static_members,
                "a static member is added once",
                group=self.group_id,
            )
            self.static_members[member.group_instance_id] = member.member_id
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        self._count_protocols(member.protocols, 1)
        self.pending_joins.pop(member.member_id, None)
        member.join_token = join_token
        self.awaiting_joins += join_token is not None

    def update(
        self,
        member: Member,
        protocols: Protocols,
        rebalance_timeout_ms: int,
        session_timeout_ms: int,
        join_token: int | None,
    ) -> int | None:
        """Take what a rejoining member says. Returns the token of the join it takes over."""
        self._count_protocols(member.protocols, -1)
        member.protocols = protocols
        self._count_protocols(protocols, 1)
        member.rebalance_timeout_ms = rebalance_timeout_ms
        member.session_timeout_ms = session_timeout_ms
        replaced = self.take_join(member)
        member.join_token = join_token
        self.awaiting_joins += join_token is not None
        return replaced

    def take_join(self, member: Member) -> int | None:
        """The token of the join that the member waits on, which is then answered."""
        token = member.join_token
        if token is not None:
            member.join_token = None
            self.awaiting_joins -= 1
        return token

    def remove(self, member_id: str) -> None:
        """Forget a member or a pending one; absent is fine. What it waits on is answered before."""
        member = self.members.pop(member_id, None)
        if member is not None:
            self._count_protocols(member.protocols, -1)
            invariant(
                member.join_token is None and member.sync_token is None,
                "whoever is removed waits for nothing",
                group=self.group_id,
            )
            if member.group_instance_id is not None:
                del self.static_members[member.group_instance_id]
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)
        self.pending_joins.pop(member_id, None)
        self.pending_syncs.pop(member_id, None)

    def replace_static(self, instance_id: str, old_id: str, new_id: str) -> Member:
        """Give the static member another id; the old one is fenced from now on.

        The caller has answered what the old one waited on.
        """
        old = self.members.pop(old_id)
        new = Member(
            member_id=new_id,
            group_instance_id=instance_id,
            client_id=old.client_id,
            client_host=old.client_host,
            rebalance_timeout_ms=old.rebalance_timeout_ms,
            session_timeout_ms=old.session_timeout_ms,
            protocols=old.protocols,
            assignment=old.assignment,
        )
        self.members[new_id] = new
        self.static_members[instance_id] = new_id
        if self.leader_id == old_id:
            self.leader_id = new_id
        return new

    def elect_joined_leader(self) -> bool:
        """Keep a leader that joined, else elect the first member that did. False: nobody did."""
        if self.leader_id is None:
            return False
        if self.members[self.leader_id].join_token is not None:
            return True
        for member in self.members.values():
            if member.join_token is not None:
                self.leader_id = member.member_id
                return True
        return False

    def refuses(self, member_id: str, instance_id: str | None) -> Code | None:
        """Why that member may not speak for itself, or None."""
        if instance_id is not None:
            current = self.static_members.get(instance_id)
            if current is None:
                return Code.UNKNOWN_MEMBER_ID
            if current != member_id:
                return Code.FENCED_INSTANCE_ID
        return None if member_id in self.members else Code.UNKNOWN_MEMBER_ID

    # Protocols.

    def supports(self, protocol_type: str, protocols: Protocols) -> bool:
        """Whether somebody who offers these could be a member."""
        if self.state is GroupState.EMPTY:
            return bool(protocol_type) and bool(protocols)
        if self.protocol_type != protocol_type:
            return False
        everybody = len(self.members)
        return any(self.supported.get(name, 0) == everybody for name, _ in protocols)

    def select_protocol(self) -> str:
        """The protocol that most members prefer among those that all offer."""
        everybody = len(self.members)
        votes: dict[str, int] = {}
        for member in self.members.values():
            for name, _ in member.protocols:
                if self.supported[name] == everybody:
                    votes[name] = votes.get(name, 0) + 1
                    break
        invariant(votes, "members of a group have a protocol in common", group=self.group_id)
        return max(votes, key=votes.__getitem__)

    def _count_protocols(self, protocols: Protocols, by: int) -> None:
        # A name offered twice by one member is one offer.
        for name in dict(protocols):
            count = self.supported.get(name, 0) + by
            if count:
                self.supported[name] = count
            else:
                del self.supported[name]

    # Subscriptions.

    def compute_subscribed(self) -> frozenset[str] | None:
        """The topics in the members' metadata, if the group speaks the consumer protocol."""
        if self.protocol_type != CONSUMER_PROTOCOL_TYPE:
            return None
        if not self.members:
            return frozenset()
        if self.protocol_name is None:
            return None
        topics: set[str] = set()
        for member in self.members.values():
            read = subscribed_topics(member.metadata(self.protocol_name))
            if read is None:
                return None
            topics.update(read)
        return frozenset(topics)

    def subscribes_to(self, topic: str) -> bool:
        """Whether offsets of the topic are in use; where that cannot be known, they are."""
        if self.subscribed is None:
            return self.protocol_type == CONSUMER_PROTOCOL_TYPE
        return topic in self.subscribed

    def check(self) -> None:
        """The invariants that the module names."""
        waiting = [m for m in self.members.values() if m.join_token is not None]
        invariant(len(waiting) == self.awaiting_joins, "joins are counted", group=self.group_id)
        counts: dict[str, int] = {}
        for member in self.members.values():
            for name in dict(member.protocols):
                counts[name] = counts.get(name, 0) + 1
        invariant(counts == self.supported, "protocols are counted", group=self.group_id)
        invariant(
            self.leader_id is None or self.leader_id in self.members, "the leader is a member"
        )
        invariant(
            all(self.members[i].group_instance_id == s for s, i in self.static_members.items()),
            "static ids name their members",
        )
        invariant(
            not any(i in self.members for i in self.pending_joins), "pending ones are not members"
        )
        if self.state is GroupState.EMPTY:
            invariant(not self.members, "an empty group has no members", group=self.group_id)
        if self.state is not GroupState.PREPARING_REBALANCE:
            invariant(
                all(m.group_instance_id is not None for m in waiting)
                if self.state is GroupState.STABLE
                else not waiting,
                "members wait to join only while a rebalance is prepared",
                group=self.group_id,
            )
        if self.state is not GroupState.COMPLETING_REBALANCE:
            invariant(
                all(m.sync_token is None for m in self.members.values()),
                "members wait for an assignment only while a rebalance completes",
                group=self.group_id,
            )
