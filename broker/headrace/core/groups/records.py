"""What groups write to the log: a group's metadata, an offset, and their tombstones."""

from collections.abc import Mapping

from headrace.core.coordinator import Record
from headrace.core.groups.group import ClassicGroup, GroupState, Member
from headrace.wire.offsets_topic import GroupKey, GroupMember, GroupValue, OffsetKey, OffsetValue

NO_TIMESTAMP = -1


def group_metadata(group: ClassicGroup, assignments: Mapping[str, bytes]) -> Record:
    """The group as it stands, with these assignments instead of its members' own."""
    name = group.protocol_name
    members = tuple(
        GroupMember(
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            rebalance_timeout_ms=member.rebalance_timeout_ms,
            session_timeout_ms=member.session_timeout_ms,
            subscription=member.metadata(name or ""),
            assignment=assignments.get(member.member_id, b""),
        )
        for member in group.members.values()
    )
    since = group.state_since_ms
    return GroupKey(group_id=group.group_id), GroupValue(
        protocol_type=group.protocol_type or "",
        generation=group.generation_id,
        protocol=name,
        leader=group.leader_id,
        current_state_timestamp_ms=NO_TIMESTAMP if since is None else since,
        members=members,
    )


def group_tombstone(group_id: str) -> Record:
    """The group is gone."""
    return GroupKey(group_id=group_id), None


def offset_commit(group_id: str, topic: str, partition: int, value: OffsetValue) -> Record:
    """An offset was committed."""
    return OffsetKey(group_id=group_id, topic=topic, partition=partition), value


def offset_tombstone(group_id: str, topic: str, partition: int) -> Record:
    """An offset is gone."""
    return OffsetKey(group_id=group_id, topic=topic, partition=partition), None


def is_restorable(value: GroupValue) -> bool:
    """Whether every member, and every static one's instance id, is there once."""
    members = value.members
    instances = [m.group_instance_id for m in members if m.group_instance_id is not None]
    return len({m.member_id for m in members}) == len(members) and len(set(instances)) == len(
        instances
    )


def restore(group: ClassicGroup) -> None:
    """Make the members of a loaded group those of its last record: stable, or empty."""
    value = group.written
    if value is None:
        return
    group.generation_id = value.generation
    group.protocol_name = value.protocol
    since = value.current_state_timestamp_ms
    group.state_since_ms = None if since == NO_TIMESTAMP else since
    for written in value.members:
        rebalance_ms = written.rebalance_timeout_ms
        member = Member(
            member_id=written.member_id,
            group_instance_id=written.group_instance_id,
            client_id=written.client_id,
            client_host=written.client_host,
            # Old records have no rebalance timeout.
            rebalance_timeout_ms=written.session_timeout_ms if rebalance_ms < 0 else rebalance_ms,
            session_timeout_ms=written.session_timeout_ms,
            protocols=((value.protocol or "", written.subscription),),
            assignment=written.assignment,
        )
        group.add(member, value.protocol_type or None, None)
    group.protocol_type = value.protocol_type or None
    if value.leader in group.members or not group.members:
        group.leader_id = value.leader
    group.state = GroupState.STABLE if group.members else GroupState.EMPTY
    group.subscribed = group.compute_subscribed()
