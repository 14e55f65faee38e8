"""Consumer groups of the classic protocol: every state with every request, commits, deletion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e.compat.differential.peer import Peer, Pending
from e2e.compat.differential.sequence import sequence
from e2e.compat.sequences.setting import NO_ID, Topic, group, topic

RANGE = ({"name": "range", "metadata": b"\x00\x01"},)
BOTH = (*RANGE, {"name": "roundrobin", "metadata": b"\x00\x02"})
REBALANCING = 27


@dataclass(slots=True)
class Member:
    """One member of a group, on a connection of its own. Mutable: it learns its id."""

    peer: Peer
    group_id: str
    at: str
    instance: str | None = None
    member_id: str = ""
    generation: int = -1
    fields: dict[str, Any] = field(default_factory=dict)

    def begin_join(self, version: int = 9, **fields: Any) -> Pending:
        """Send a JoinGroup; its answer may wait for the others."""
        self.fields = {
            "group_id": self.group_id,
            "session_timeout_ms": 30_000,
            "rebalance_timeout_ms": 30_000,
            "member_id": self.member_id,
            "group_instance_id": self.instance,
            "protocol_type": "consumer",
            "protocols": list(RANGE),
            "reason": "test",
        } | fields
        return self.peer.begin("join_group", version, on=self.at, **self.fields)

    def take(self, pending: Pending) -> Any:
        """Read a JoinGroup's answer and remember what it says."""
        answer = pending.answer()
        if answer is not None:
            self.member_id = answer.member_id or self.member_id
            self.generation = answer.generation_id
        return answer

    def hello(self, **fields: Any) -> None:
        """Get a member id (a dynamic member is told to join again with it)."""
        self.take(self.begin_join(**fields))

    def join(self, **fields: Any) -> Any:
        """Join alone, until the answer."""
        return self.take(self.begin_join(**fields))

    def begin_sync(self, *assigned: tuple[str, bytes], **fields: Any) -> Pending:
        given = [{"member_id": who, "assignment": what} for who, what in assigned]
        asked = self._who() | {
            "protocol_type": "consumer",
            "protocol_name": "range",
            "assignments": given,
        }
        return self.peer.begin("sync_group", 5, on=self.at, **(asked | fields))

    def sync(self, *assigned: tuple[str, bytes], **fields: Any) -> Any:
        return self.begin_sync(*assigned, **fields).answer()

    def heartbeat(self, **fields: Any) -> Any:
        return self.peer.ask("heartbeat", 4, on=self.at, **(self._who() | fields))

    def leave(self) -> Any:
        who = {"member_id": self.member_id, "group_instance_id": self.instance, "reason": "bye"}
        return self.peer.ask("leave_group", 5, on=self.at, group_id=self.group_id, members=[who])

    def commit(self, where: Topic, offset: int, **fields: Any) -> Any:
        asked = {
            "group_id": self.group_id,
            "generation_id_or_member_epoch": self.generation,
            "member_id": self.member_id,
            "group_instance_id": self.instance,
            "topics": commits(where, (0, offset)),
        }
        return self.peer.ask("offset_commit", 9, on=self.at, **(asked | fields))

    def _who(self) -> dict[str, Any]:
        return {
            "group_id": self.group_id,
            "generation_id": self.generation,
            "member_id": self.member_id,
            "group_instance_id": self.instance,
        }


def commits(where: Topic, *offsets: tuple[int, int], metadata: str | None = "") -> list[Any]:
    parts = [
        {
            "partition_index": index,
            "committed_offset": offset,
            "committed_leader_epoch": -1,
            "committed_metadata": metadata,
        }
        for index, offset in offsets
    ]
    return [{"name": where.name, "partitions": parts}]


def describe(peer: Peer, *groups: str, version: int = 6) -> Any:
    return peer.ask(
        "describe_groups", version, groups=list(groups), include_authorized_operations=False
    )


def committed(peer: Peer, group_id: str, topics: Sequence[Any] | None, stable: bool = False) -> Any:
    asked = {"group_id": group_id, "member_id": None, "member_epoch": -1, "topics": topics}
    return peer.ask("offset_fetch", 9, groups=[asked], require_stable=stable)


def alone(peer: Peer, group_id: str, at: str = "a", **fields: Any) -> Member:
    """A member that is alone in a stable group."""
    member = Member(peer, group_id, at)
    member.hello(**fields)
    member.join(**fields)
    member.sync((member.member_id, b"\x00\x07"))
    return member


def pair(peer: Peer, group_id: str) -> tuple[Member, Member]:
    """Two members of a stable group; the first leads."""
    first = alone(peer, group_id)
    second = Member(peer, group_id, "b")
    second.hello()
    waiting = second.begin_join()
    await_rebalance(first)
    first.take(first.begin_join())
    second.take(waiting)
    pending = second.begin_sync()
    first.sync((first.member_id, b"\x01"), (second.member_id, b"\x02"))
    pending.answer()
    return first, second


def await_rebalance(member: Member) -> None:
    """Wait, unrecorded, until the coordinator has begun to rebalance."""
    asked = {
        "group_id": member.group_id,
        "generation_id": member.generation,
        "member_id": member.member_id,
        "group_instance_id": member.instance,
    }
    member.peer.settle(
        lambda answer: answer.error_code == REBALANCING, "heartbeat", 4, on=member.at, **asked
    )


@sequence
def one_member_from_nothing_to_nothing(peer: Peer) -> None:
    group_id = group(peer)
    describe(peer, group_id)
    member = alone(peer, group_id)
    describe(peer, group_id)
    member.heartbeat()
    member.heartbeat(generation_id=member.generation + 1)
    member.heartbeat(generation_id=member.generation - 1)
    member.heartbeat(member_id="stranger")
    member.join()
    describe(peer, group_id)
    member.heartbeat()
    member.sync((member.member_id, b"\x09"))
    member.sync()
    member.leave()
    describe(peer, group_id)
    member.heartbeat()
    member.sync()
    member.leave()


@sequence
def two_members(peer: Peer) -> None:
    group_id = group(peer)
    first, second = pair(peer, group_id)
    describe(peer, group_id)
    second.leave()
    await_rebalance(first)
    describe(peer, group_id)
    first.heartbeat()
    first.sync()
    first.join()
    first.sync((first.member_id, b"\x03"))
    first.heartbeat()


@sequence
def the_leader_leaves(peer: Peer) -> None:
    first, second = pair(peer, group(peer))
    first.leave()
    await_rebalance(second)
    second.join()
    second.sync((second.member_id, b"\x05"))
    describe(peer, second.group_id)


@sequence
def a_follower_syncs_before_the_leader(peer: Peer) -> None:
    first, second = pair(peer, group(peer))
    waiting = second.begin_join(protocols=list(BOTH))
    await_rebalance(first)
    first.take(first.begin_join())
    second.take(waiting)
    pending = second.begin_sync()
    second.peer.ask("api_versions", 0, on="c")
    first.sync((second.member_id, b"\x02"))
    pending.answer()


@sequence
def rejoining_unchanged(peer: Peer) -> None:
    first, second = pair(peer, group(peer))
    second.join()
    second.heartbeat()
    first.heartbeat()
    waiting = first.begin_join()
    await_rebalance(second)
    second.take(second.begin_join())
    first.take(waiting)


@sequence
def syncing_wrongly(peer: Peer) -> None:
    member = Member(peer, group(peer), "a")
    member.hello()
    member.join()
    for wrong in (
        {"generation_id": 9},
        {"member_id": "stranger"},
        {"protocol_type": "other"},
        {"protocol_name": "other"},
        {"protocol_type": None, "protocol_name": None},
        {"group_id": ""},
        {"group_instance_id": "nobody"},
    ):
        member.sync((member.member_id, b"\x01"), **wrong)
    describe(peer, member.group_id)


@sequence
def syncing_with_strangers_in_the_assignment(peer: Peer) -> None:
    member = Member(peer, group(peer), "a")
    member.hello()
    member.join()
    member.sync(("stranger", b"\x01"))
    member.sync()
    describe(peer, member.group_id)


@sequence
def joining_wrongly(peer: Peer) -> None:
    group_id = group(peer)
    for wrong in (
        {"session_timeout_ms": 1},
        {"session_timeout_ms": 10_000_000},
        {"session_timeout_ms": -1},
        {"group_id": ""},
        {"member_id": "stranger"},
        {"protocols": []},
        {"protocol_type": ""},
        {"protocol_type": "", "protocols": []},
        {"group_instance_id": ""},
        {"group_instance_id": "bad id"},
        {"group_instance_id": ".."},
        {"group_instance_id": "new", "member_id": "stranger"},
        {"rebalance_timeout_ms": -1},
    ):
        Member(peer, group_id, "a").join(**wrong)
    describe(peer, group_id)


@sequence
def protocols_that_do_not_fit(peer: Peer) -> None:
    member = alone(peer, group(peer))
    odd = [{"name": "sticky", "metadata": b""}]
    for wrong in (
        {"protocols": odd},
        {"protocol_type": "connect"},
        {"protocols": odd, "member_id": "stranger"},
        {"protocols": []},
    ):
        Member(peer, member.group_id, "b").join(**wrong)
    member.heartbeat()
    member.join(protocols=odd)
    describe(peer, member.group_id)


@sequence
def one_protocol_in_common(peer: Peer) -> None:
    first = alone(peer, group(peer), protocols=list(BOTH))
    second = Member(peer, first.group_id, "b")
    swapped = [BOTH[1], BOTH[0]]
    second.hello(protocols=swapped)
    waiting = second.begin_join(protocols=swapped)
    await_rebalance(first)
    first.take(first.begin_join(protocols=list(BOTH)))
    second.take(waiting)
    describe(peer, first.group_id)


@sequence
def the_vote_decides_the_protocol(peer: Peer) -> None:
    first = alone(peer, group(peer), protocols=list(BOTH))
    waiting = []
    swapped = [BOTH[1], BOTH[0]]
    for name in ("b", "c"):
        member = Member(peer, first.group_id, name)
        member.hello(protocols=swapped)
        waiting.append((member, member.begin_join(protocols=swapped)))
    await_rebalance(first)
    peer.settle(
        lambda a: len(a.groups[0].members) == 3,
        "describe_groups",
        5,
        groups=[first.group_id],
        include_authorized_operations=False,
    )
    first.take(first.begin_join(protocols=list(BOTH)))
    for member, pending in waiting:
        member.take(pending)


@sequence
def static_members(peer: Peer) -> None:
    group_id = group(peer)
    first = Member(peer, group_id, "a", instance="i1")
    first.join()
    first.sync((first.member_id, b"\x01"))
    describe(peer, group_id)
    again = Member(peer, group_id, "b", instance="i1")
    again.join()
    again.sync()
    first.heartbeat()
    first.join()
    first.sync((first.member_id, b"\x01"))
    first.leave()
    again.heartbeat(group_instance_id=None)
    again.heartbeat(group_instance_id="i2")
    again.heartbeat()
    describe(peer, group_id)


@sequence
def a_static_member_comes_back_with_other_protocols(peer: Peer) -> None:
    group_id = group(peer)
    first = Member(peer, group_id, "a", instance="i1")
    first.join()
    first.sync((first.member_id, b"\x01"))
    again = Member(peer, group_id, "b", instance="i1")
    again.join(protocols=list(BOTH))
    again.sync((again.member_id, b"\x02"))
    again.heartbeat()


@sequence
def static_members_are_removed_by_instance(peer: Peer) -> None:
    group_id = group(peer)
    first = Member(peer, group_id, "a", instance="i1")
    first.join()
    first.sync((first.member_id, b"\x01"))

    def remove(member_id: str, instance: str | None) -> None:
        who = {"member_id": member_id, "group_instance_id": instance, "reason": None}
        peer.ask("leave_group", 5, group_id=group_id, members=[who])

    remove("stranger", "i1")
    remove("", "i2")
    remove("stranger", None)
    remove("", "i1")
    remove("", "i1")
    peer.ask("leave_group", 5, group_id=group_id, members=[])
    peer.ask("leave_group", 5, group_id="", members=[])
    describe(peer, group_id)


@sequence
def old_joins_need_no_second_try(peer: Peer) -> None:
    member = Member(peer, group(peer), "a")
    member.take(member.begin_join(3))
    member.sync((member.member_id, b"\x01"))
    describe(peer, member.group_id)


@sequence
def requests_to_a_group_that_nobody_made(peer: Peer) -> None:
    group_id = group(peer)
    where = topic(peer)
    member = Member(peer, group_id, "a", member_id="stranger", generation=1)
    member.heartbeat()
    member.sync()
    member.leave()
    member.commit(where, 1)
    member.commit(where, 1, member_id="", generation_id_or_member_epoch=-1)
    describe(peer, group_id, "", group_id + "-none")
    describe(peer, group_id + "-none", version=5)
    committed(peer, group_id + "-none", None)
    peer.ask("delete_groups", 2, groups_names=["", group_id + "-none"])


@sequence
def commits_in_every_state(peer: Peer) -> None:
    group_id = group(peer)
    where = topic(peer)
    outsider = Member(peer, group_id, "x")
    outsider.commit(where, 1)
    member = Member(peer, group_id, "a")
    member.hello()
    member.commit(where, 2, generation_id_or_member_epoch=0)
    member.join()
    member.commit(where, 3)
    member.sync((member.member_id, b"\x01"))
    member.commit(where, 4)
    member.commit(where, 5, generation_id_or_member_epoch=7)
    member.commit(where, 6, member_id="stranger")
    member.commit(where, 6, group_instance_id="nobody")
    outsider.commit(where, 7)
    committed(peer, group_id, None)
    joining = Member(peer, group_id, "b")
    joining.hello()
    joining.begin_join()
    await_rebalance(member)
    member.commit(where, 8)
    committed(peer, group_id, None, stable=True)


@sequence
def commits_of_odd_things(peer: Peer) -> None:
    group_id = group(peer)
    where = topic(peer, partitions=2)
    outsider = Member(peer, group_id, "x")
    ghost = Topic(peer.name("none"), where.id)
    outsider.commit(where, -1)
    outsider.commit(where, 2**62)
    outsider.commit(where, -5)
    outsider.commit(ghost, 1)
    outsider.commit(where, 0, topics=commits(where, (0, 1), (1, 2), (9, 3)))
    outsider.commit(where, 0, topics=commits(where, (0, 5), (0, 6)))
    outsider.commit(where, 0, topics=commits(where, (0, 1), metadata="m" * 4096))
    outsider.commit(where, 0, topics=commits(where, (0, 1), metadata="m" * 4097))
    outsider.commit(where, 0, topics=commits(where, (0, 1), metadata=None))
    outsider.commit(where, 0, topics=[])
    outsider.commit(where, 0, group_id="")
    committed(peer, group_id, None)
    asked = [{"name": where.name, "partition_indexes": [0, 1, 9]}]
    committed(peer, group_id, [*asked, {"name": ghost.name, "partition_indexes": [0]}])
    committed(peer, group_id, [])
    committed(peer, group_id, [{"name": where.name, "partition_indexes": []}])


@sequence
def offsets_of_many_groups_at_once(peer: Peer) -> None:
    where = topic(peer)
    names = [group(peer, f"g{i}") for i in range(3)]
    for number, name in enumerate(names):
        Member(peer, name, "x").commit(where, number)
    asked = [
        {"group_id": name, "member_id": None, "member_epoch": -1, "topics": None}
        for name in (*names, names[0], "")
    ]
    peer.ask("offset_fetch", 9, groups=asked[:3], require_stable=False)
    peer.ask("offset_fetch", 9, groups=asked, require_stable=False)
    peer.ask("offset_fetch", 9, groups=[], require_stable=False)


@sequence
def old_offset_fetches(peer: Peer) -> None:
    where = topic(peer)
    group_id = group(peer)
    Member(peer, group_id, "x").commit(where, 5)
    asked = [{"name": where.name, "partition_indexes": [0, 3]}]
    for version in (1, 2, 5, 7):
        peer.ask("offset_fetch", version, group_id=group_id, topics=asked, require_stable=False)
        peer.ask("offset_fetch", version, group_id="none", topics=asked, require_stable=False)
    for version in (2, 5, 7):
        peer.ask("offset_fetch", version, group_id=group_id, topics=None, require_stable=False)


@sequence
def groups_are_deleted_when_empty(peer: Peer) -> None:
    group_id = group(peer)
    where = topic(peer)
    member = alone(peer, group_id)
    member.commit(where, 4)
    peer.ask("delete_groups", 2, groups_names=[group_id])
    member.leave()
    peer.ask("delete_groups", 2, groups_names=[group_id, group_id])
    describe(peer, group_id)
    committed(peer, group_id, None)
    peer.ask("delete_groups", 2, groups_names=[group_id])
    peer.ask("delete_groups", 2, groups_names=[])


@sequence
def offsets_are_deleted_when_unused(peer: Peer) -> None:
    group_id = group(peer)
    where = topic(peer, partitions=2)
    outsider = Member(peer, group_id, "x")
    outsider.commit(where, 0, topics=commits(where, (0, 1), (1, 2)))

    def forget(*parts: int, name: str = where.name, of: str = group_id) -> None:
        asked = [{"name": name, "partitions": [{"partition_index": i} for i in parts]}]
        peer.ask("offset_delete", 0, group_id=of, topics=asked)

    forget(0, 5)
    committed(peer, group_id, None)
    forget(0, name=peer.name("none"))
    forget(0, of=group_id + "-none")
    forget(0, of="")
    subscription = b"\x00\x01\x00\x00\x00\x01" + len(where.name).to_bytes(2, "big")
    subscription += where.name.encode() + b"\xff\xff\xff\xff" + b"\x00\x00\x00\x00"
    alone(peer, group_id, protocols=[{"name": "range", "metadata": subscription}])
    forget(1)
    committed(peer, group_id, None)


@sequence
def other_types_of_groups(peer: Peer) -> None:
    group_id = group(peer)
    where = topic(peer)
    member = Member(peer, group_id, "a")
    protocols = [{"name": "sessioned", "metadata": b"x"}]
    member.hello(protocol_type="connect", protocols=protocols)
    member.join(protocol_type="connect", protocols=protocols)
    member.sync((member.member_id, b"y"), protocol_type="connect", protocol_name="sessioned")
    describe(peer, group_id)
    forget = [{"name": where.name, "partitions": [{"partition_index": 0}]}]
    peer.ask("offset_delete", 0, group_id=group_id, topics=forget)


def _listed(peer: Peer, group_id: str, **filters: Any) -> None:
    """Whether ListGroups with such filters has the group, and as what."""
    asked = {"states_filter": [], "types_filter": []} | filters
    answer = peer.quietly("list_groups", 5, **asked)
    found = [
        [g.protocol_type, g.group_state, g.group_type]
        for g in answer.groups
        if g.group_id == group_id
    ]
    peer.note(f"list_groups {sorted(filters.items())}", [int(answer.error_code), found])


@sequence
def listing_groups(peer: Peer) -> None:
    group_id = group(peer)
    member = alone(peer, group_id)
    for filters in (
        {},
        {"states_filter": ["Stable"]},
        {"states_filter": ["stable", "Empty"]},
        {"states_filter": ["Empty"]},
        {"types_filter": ["classic"]},
        {"types_filter": ["Classic"]},
        {"types_filter": ["consumer"]},
        {"types_filter": ["junk"]},
        {"states_filter": ["junk"]},
    ):
        _listed(peer, group_id, **filters)
    member.leave()
    _listed(peer, group_id)
    _listed(peer, group_id, states_filter=["Empty"])


@sequence
def coordinators_of_every_kind(peer: Peer) -> None:
    for key in (peer.name("g"), ""):
        peer.ask("find_coordinator", 4, key_type=0, coordinator_keys=[key])
        peer.ask("find_coordinator", 1, key_type=0, key=key)
    peer.ask("find_coordinator", 4, key_type=0, coordinator_keys=[])
    peer.ask("find_coordinator", 4, key_type=9, coordinator_keys=["x"])


Step = Callable[[Member], Any]
STEPS: dict[str, Step] = {
    "join": lambda m: m.join(),
    "join_anew": lambda m: Member(m.peer, m.group_id, "n").join(),
    "sync": lambda m: m.sync((m.member_id, b"\x01")),
    "heartbeat": lambda m: m.heartbeat(),
    "old_heartbeat": lambda m: m.heartbeat(generation_id=m.generation - 1),
    "leave": lambda m: m.leave(),
    "commit": lambda m: m.commit(Topic("no-such-topic", NO_ID), 3),
    "describe": lambda m: describe(m.peer, m.group_id),
    "delete": lambda m: m.peer.ask("delete_groups", 2, groups_names=[m.group_id]),
}
"""What the random walks of one member choose from."""
