"""The groups of one partition of __consumer_offsets: a shard of the coordinator.

Durable: offsets, and each group's last metadata record; only `replay` changes them. Ephemeral:
members in a rebalance, states and timers; they are built from the records by `loaded`.
Every handler reads durable state and returns an Outcome (see core.coordinator).
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from headrace.base.errors import Code
from headrace.config.broker import BrokerSettings
from headrace.core.coordinator import Now, Outcome, Record, RecordFault
from headrace.core.coordinator_timers import Timers
from headrace.core.groups import join, offsets, records, sync
from headrace.core.groups.group import NO_MEMBER_ID, ClassicGroup, GroupState
from headrace.core.groups.offsets import CommitTopic, FetchTopic, Offsets
from headrace.core.groups.rebalance import (
    JoinPhase,
    Rebalances,
    Session,
    SyncPhase,
    TimerKey,
    join_error,
    sync_error,
)
from headrace.core.groups.requests import Commit, Heartbeat, Join, Leave, Sync
from headrace.wire import offsets_topic
from headrace.wire.offsets_topic import GroupKey, OffsetKey

_RETENTION: Final = "retention"
"""Timer: look for expired offsets."""

_GROUPS_LOOKED_AT: Final = 500
"""Groups looked at for expired offsets before other work goes on; about 1 ms."""

Fields = Mapping[str, Any]


class GroupShard:
    """Mutable; implements core.coordinator.Shard."""

    __slots__ = ("_expiring", "_live", "_rebalances", "_settings", "_timers", "groups", "offsets")

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._timers: Timers[TimerKey] = Timers()
        self._rebalances = Rebalances(settings, self._timers)
        self.groups: dict[str, ClassicGroup] = {}
        self.offsets = Offsets()
        self._live = False
        self._expiring: list[str] = []
        """Groups still to be looked at in this round of expiry."""

    def configure(self, settings: BrokerSettings) -> None:
        """Take changed settings for what happens from now on."""
        self._settings = self._rebalances.settings = settings

    # Records.

    def decode(self, key: bytes, value: bytes | None) -> Record | None:
        """See core.coordinator.Shard."""
        try:
            name = offsets_topic.decode_key(key)
            if isinstance(name, offsets_topic.UnknownKey):
                return None
            if value is None:
                return name, None
            if isinstance(name, OffsetKey):
                return name, offsets_topic.decode_offset(value)
            group = offsets_topic.decode_group(value)
        except offsets_topic.UnreadableRecord as fault:
            raise RecordFault(str(fault)) from None
        if not records.is_restorable(group):
            raise RecordFault(f"group {name.group_id[:99]!r} names a member twice")
        return name, group

    def encode(self, record: Record) -> tuple[bytes, bytes | None]:
        """See core.coordinator.Shard."""
        key, value = record
        try:
            if value is None:
                return offsets_topic.encode_key(key), None
            if type(key) is OffsetKey:
                return offsets_topic.encode_key(key), offsets_topic.encode_offset(value)
            return offsets_topic.encode_key(key), offsets_topic.encode_group(value)
        except (struct.error, UnicodeEncodeError) as fault:
            raise RecordFault(f"a record of group {key.group_id[:99]!r}: {fault}") from None

    def replay(self, record: Record) -> None:
        """Apply one record: the only mutator of offsets and of what is written of groups."""
        key, value = record
        if type(key) is OffsetKey:
            if value is None:
                self.offsets.remove(key.group_id, key.topic, key.partition)
            else:
                if key.group_id not in self.groups:
                    # Somebody outside of groups commits: a group without members or a type.
                    self.groups[key.group_id] = ClassicGroup(key.group_id, None)
                self.offsets.put(key.group_id, key.topic, key.partition, value)
        elif type(key) is GroupKey:
            if value is None:
                self._forget(key.group_id)
            else:
                group = self.groups.get(key.group_id)
                if group is None:
                    group = self.groups[key.group_id] = ClassicGroup(key.group_id, None)
                group.written = value

    def _forget(self, group_id: str) -> None:
        group = self.groups.pop(group_id, None)
        if group is None:
            return
        for member_id in (*group.members, *group.pending_joins):
            self._timers.cancel(Session(group_id, member_id))
        self._timers.cancel(JoinPhase(group_id))
        self._timers.cancel(SyncPhase(group_id))
        group.state = GroupState.DEAD

    def durable(self) -> tuple[dict[str, Any], list[tuple[str, str, int, Any]]]:
        """All durable state, comparable: what is live equals what a restart would load."""
        return {g.group_id: g.written for g in self.groups.values()}, sorted(
            self.offsets, key=lambda item: item[:3]
        )

    def loaded(self, now: Now) -> Outcome:
        """Restore members from records, give each a whole session, and watch retention."""
        self._live = True
        out = Outcome()
        for group in self.groups.values():
            records.restore(group)
            for member in group.members.values():
                self._rebalances.extend_session(group, member, now)
            if len(group.members) > self._settings.group_max_size:
                self._rebalances.prepare(group, out, now)
        self._watch_retention(now)
        return out

    # Timers.

    def deadline(self) -> int | None:
        """See core.coordinator.Shard."""
        return self._timers.deadline()

    def expire(self, now: Now) -> Outcome | None:
        """Handle one timer that is due."""
        key = self._timers.pop_due(now.monotonic_ms)
        if key is None:
            return None
        out = Outcome()
        if isinstance(key, str):
            return self._expire_offsets(now)
        group = self.groups.get(key.group_id)
        if group is None:
            return out
        if isinstance(key, Session):
            self._rebalances.session_over(group, key.member_id, out, now)
        elif isinstance(key, JoinPhase):
            self._rebalances.join_phase_over(group, out, now)
        else:
            self._rebalances.sync_phase_over(group, out, now)
        return out

    def _watch_retention(self, now: Now) -> None:
        self._timers.set(
            _RETENTION, now.monotonic_ms + self._settings.offsets_retention_check_interval_ms
        )

    def _expire_offsets(self, now: Now) -> Outcome:
        """One slice of a round over all groups; empty groups without offsets go, too."""
        if not self._expiring:
            self._expiring = list(self.groups)
        out = Outcome(divisible=True)
        for _ in range(min(_GROUPS_LOOKED_AT, len(self._expiring))):
            group = self.groups.get(self._expiring.pop())
            if group is None:
                continue
            gone, all_gone = offsets.expired(self.offsets, group, self._settings, now)
            out.records += gone
            if all_gone and group.state is GroupState.EMPTY:
                out.records.append(records.group_tombstone(group.group_id))
        if self._expiring:
            self._timers.set(_RETENTION, now.monotonic_ms)
        else:
            self._watch_retention(now)
        return out

    # Membership.

    def join(self, request: Join, token: int, now: Now) -> Outcome:
        """JoinGroup; the group is created by a member that has no id yet."""
        group = self.groups.get(request.group_id)
        if group is not None:
            return join.join(self._rebalances, group, request, token, now)
        if request.member_id != NO_MEMBER_ID:
            return Outcome(answer=join_error(request.member_id, Code.UNKNOWN_MEMBER_ID))
        group = ClassicGroup(request.group_id, now.wall_ms)
        created = records.group_metadata(group, {})
        self.groups[group.group_id] = group
        out = join.join(self._rebalances, group, request, token, now)
        # As in Kafka, the group is there even if its first member is refused.
        out.records.insert(0, created)
        out.then = self._created(group, out.answer, token)
        out.answer = None
        return out

    def _created(
        self, group: ClassicGroup, answer: Fields | None, token: int
    ) -> Callable[[Code, Now], Outcome]:
        """A new group is kept once it is written; else its first member hears why not."""

        def then(code: Code, now: Now) -> Outcome:
            if code is Code.NONE:
                return Outcome(replies=[] if answer is None else [(token, answer)])
            refused = [] if answer is None else [(token, join_error(NO_MEMBER_ID, code))]
            if group.written is not None or self.groups.get(group.group_id) is not group:
                # The record is in the log, or others have taken over: the group stays.
                return Outcome(replies=refused)
            replies = [
                (member.join_token, join_error(NO_MEMBER_ID, code))
                for member in group.members.values()
                if member.join_token is not None
            ]
            self._forget(group.group_id)
            return Outcome(replies=refused + replies)

        return then

    def sync(self, request: Sync, token: int, now: Now) -> Outcome:
        """SyncGroup."""
        group = self.groups.get(request.group_id)
        if group is None:
            return Outcome(answer=sync_error(Code.UNKNOWN_MEMBER_ID))
        return sync.sync(self._rebalances, group, request, token, now)

    def heartbeat(self, request: Heartbeat, token: int, now: Now) -> Outcome:
        """Heartbeat."""
        group = self.groups.get(request.group_id)
        if group is None:
            return Outcome(answer={"error_code": Code.UNKNOWN_MEMBER_ID})
        return Outcome(answer=sync.heartbeat(self._rebalances, group, request, now))

    def leave(self, request: Leave, token: int, now: Now) -> Outcome:
        """LeaveGroup."""
        group = self.groups.get(request.group_id)
        if group is not None:
            return sync.leave(self._rebalances, group, request, now)
        members = [
            {
                "member_id": member_id,
                "group_instance_id": instance_id,
                "error_code": Code.UNKNOWN_MEMBER_ID,
            }
            for member_id, instance_id in request.members
        ]
        return Outcome(answer={"error_code": Code.NONE, "members": members})

    # Offsets.

    def commit(self, request: Commit, topics: Sequence[CommitTopic], now: Now) -> Outcome | Code:
        """OffsetCommit. The answer is a list, a topic each; a Code refuses all of them."""
        group = self.groups.get(request.group_id)
        if group is None:
            if request.generation_id >= 0:
                v9 = request.api_version >= 9
                return Code.GROUP_ID_NOT_FOUND if v9 else Code.ILLEGAL_GENERATION
        else:
            refusal = offsets.refuses_commit(group, request)
            if refusal is not None:
                return refusal
            if group.state in (GroupState.STABLE, GroupState.PREPARING_REBALANCE):
                member = group.members[request.member_id]
                self._rebalances.extend_session(group, member, now)
        written, answers = offsets.commit(
            request, topics, self._settings.offset_metadata_max_bytes, now
        )
        return Outcome(records=written, answer=answers)

    def fetch(self, group_id: str, topics: Sequence[FetchTopic] | None) -> list[Fields]:
        """OffsetFetch of one group; a group that does not exist has no offsets."""
        return self.offsets.fetch(group_id, topics)

    def delete_offsets(
        self, group_id: str, topics: Sequence[tuple[str, Sequence[int]]]
    ) -> Outcome | Code:
        """OffsetDelete. The answer is a list, a topic each; a Code refuses all of them."""
        group = self.groups.get(group_id)
        if group is None:
            return Code.GROUP_ID_NOT_FOUND
        if group.state is not GroupState.EMPTY and group.protocol_type != "consumer":
            return Code.NON_EMPTY_GROUP
        out = Outcome()
        answers = []
        for name, partitions in topics:
            used = group.subscribes_to(name)
            code = Code.GROUP_SUBSCRIBED_TO_TOPIC if used else Code.NONE
            answers.append(
                {
                    "name": name,
                    "partitions": [
                        {"partition_index": index, "error_code": code} for index in partitions
                    ],
                }
            )
            if not used:
                out.records += [
                    records.offset_tombstone(group_id, name, index)
                    for index in partitions
                    if self.offsets.get(group_id, name, index) is not None
                ]
        out.answer = answers
        return out

    def forget_topics(self, names: Iterable[str]) -> Outcome:
        """Topics are gone, and with them what was committed for them."""
        return Outcome(records=self.offsets.tombstones_of_topics(names), divisible=True)

    # Administration.

    def delete_group(self, group_id: str) -> Outcome:
        """One group of DeleteGroups; the answer is its Code."""
        group = self.groups.get(group_id)
        if group is None:
            return Outcome(answer=Code.GROUP_ID_NOT_FOUND)
        if group.state is not GroupState.EMPTY:
            return Outcome(answer=Code.NON_EMPTY_GROUP)
        tombstones = self.offsets.tombstones(group_id)
        tombstones.append(records.group_tombstone(group_id))
        return Outcome(records=tombstones, answer=Code.NONE, divisible=True)

    def describe(self, group_id: str) -> Fields | None:
        """One group of DescribeGroups; None if there is none of that id."""
        group = self.groups.get(group_id)
        if group is None:
            return None
        stable = group.state is GroupState.STABLE
        name = (group.protocol_name or "") if stable else ""
        return {
            "error_code": Code.NONE,
            "group_id": group_id,
            "group_state": group.state.value,
            "protocol_type": group.protocol_type or "",
            "protocol_data": name,
            "members": [
                {
                    "member_id": member.member_id,
                    "group_instance_id": member.group_instance_id,
                    "client_id": member.client_id,
                    "client_host": member.client_host,
                    "member_metadata": member.metadata(name) if stable else b"",
                    "member_assignment": member.assignment,
                }
                for member in group.members.values()
            ],
        }

    def list_groups(self, states: frozenset[str], types: frozenset[str]) -> list[Fields]:
        """Groups in one of the states and of one of the types, both in lower case; empty: any."""
        return [
            {
                "group_id": group.group_id,
                "protocol_type": group.protocol_type or "",
                "group_state": group.state.value,
                "group_type": group.type.value,
            }
            for group in self.groups.values()
            if (not states or group.state.value.lower() in states)
            and (not types or group.type.value in types)
        ]
