"""Consumer groups, from outside: list, describe, delete. Offsets are in `offsets.py`."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.base.errors import Code
from headrace.client.cluster import Cluster
from headrace.client.errors import BrokerRefused, check
from headrace.wire.consumer_protocol import read_assignment
from headrace.wire.versions import DELETE_GROUPS, DESCRIBE_GROUPS, LIST_GROUPS


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedGroup:
    """A group in a list. `kind` is classic, consumer, share or streams."""

    name: str
    state: str
    protocol_type: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """One member and what it was given."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    assigned: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """A group with its members."""

    name: str
    state: str
    protocol_type: str
    assignor: str
    coordinator: int
    members: tuple[GroupMember, ...]


async def list_groups(cluster: Cluster) -> list[ListedGroup]:
    """The groups of every broker, by name. Raises ClientError."""
    groups = []
    for node_id in sorted((await cluster.refresh(())).brokers):
        fields: dict[str, list[str]] = {"states_filter": [], "types_filter": []}
        answer = await cluster.request(LIST_GROUPS, fields, node_id=node_id)
        check(answer.error_code, f"Groups of broker {node_id}")
        groups += [
            ListedGroup(
                name=g.group_id,
                state=getattr(g, "group_state", ""),
                protocol_type=g.protocol_type,
                kind=getattr(g, "group_type", "") or "classic",
            )
            for g in answer.groups
        ]
    return sorted(groups, key=lambda g: g.name)


async def describe_group(cluster: Cluster, name: str) -> GroupStatus:
    """One group. Raises ClientError; GROUP_ID_NOT_FOUND where it does not exist."""
    node_id = await cluster.coordinator(name)
    fields = {"groups": [name], "include_authorized_operations": False}
    group = (await cluster.request(DESCRIBE_GROUPS, fields, node_id=node_id)).groups[0]
    check(group.error_code, f"Group {name!r}")
    if group.group_state == "Dead":  # how versions before 6 say that there is none
        raise BrokerRefused(Code.GROUP_ID_NOT_FOUND, f"Group {name!r}")
    members = tuple(
        GroupMember(
            member_id=m.member_id,
            instance_id=getattr(m, "group_instance_id", None),
            client_id=m.client_id,
            host=m.client_host,
            assigned=read_assignment(m.member_assignment).partitions,
        )
        for m in group.members
    )
    return GroupStatus(
        name=name,
        state=group.group_state,
        protocol_type=group.protocol_type,
        assignor=group.protocol_data,
        coordinator=node_id,
        members=members,
    )


async def delete_group(cluster: Cluster, name: str) -> None:
    """Delete a group without members, and its committed offsets. Raises ClientError."""
    node_id = await cluster.coordinator(name)
    answer = await cluster.request(DELETE_GROUPS, {"groups_names": [name]}, node_id=node_id)
    check(answer.results[0].error_code, f"Deleting group {name!r}")
