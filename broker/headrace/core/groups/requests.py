"""What members ask of a group, as values. Ids may be empty, instance ids are None if absent."""

from dataclasses import dataclass

from headrace.core.groups.group import Protocols


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """JoinGroup. `fresh_id` is randomness from the shell, for the id of a new member.

    `needs_member_id` (from v4): a new dynamic member is first told its id.
    `may_skip_assignment` (from v9): a static leader that comes back is told not to assign.
    """

    group_id: str
    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    fresh_id: str
    needs_member_id: bool
    may_skip_assignment: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """SyncGroup. `assignments` come from the leader alone."""

    group_id: str
    generation_id: int
    member_id: str
    group_instance_id: str | None
    protocol_type: str | None
    protocol_name: str | None
    assignments: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    group_id: str
    generation_id: int
    member_id: str
    group_instance_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """LeaveGroup: (member id, instance id) of each that leaves."""

    group_id: str
    members: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What an OffsetCommit says of its sender; generation -1 is a consumer outside of groups."""

    group_id: str
    generation_id: int
    member_id: str
    group_instance_id: str | None
    api_version: int
    retention_ms: int = -1
