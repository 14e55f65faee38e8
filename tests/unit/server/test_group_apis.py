"""The eleven APIs of groups, in every version they are served in, through the wire both ways."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from headrace.base.errors import Code
from headrace.server.apis import named_once
from headrace.wire.framing import ProtocolError
from headrace.wire.versions import (
    DELETE_GROUPS,
    DESCRIBE_GROUPS,
    FIND_COORDINATOR,
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    LIST_GROUPS,
    OFFSET_COMMIT,
    OFFSET_DELETE,
    OFFSET_FETCH,
    SYNC_GROUP,
)

from tests.coordinators import MemoryBroker, versions
from tests.groups import subscription


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    made = MemoryBroker()
    made.create("t", 3)
    await made.groups.ensure_topic()
    yield made
    await made.groups.close()


async def join(broker: MemoryBroker, version: int = 9, **fields: Any) -> Any:
    asked = {
        "group_id": "g",
        "session_timeout_ms": 10_000,
        "rebalance_timeout_ms": 60_000,
        "member_id": "",
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": subscription("t")}],
        "reason": None,
        **fields,
    }
    return await broker.call(JOIN_GROUP, version, **asked)


async def member(broker: MemoryBroker, version: int = 9, **fields: Any) -> Any:
    """Joined, with the id that is given first where the version asks for that."""
    joined = await join(broker, version, **fields)
    if joined.error_code == Code.MEMBER_ID_REQUIRED:
        joined = await join(broker, version, **{**fields, "member_id": joined.member_id})
    return joined


async def sync(broker: MemoryBroker, version: int, joined: Any, **fields: Any) -> Any:
    asked = {
        "group_id": "g",
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [{"member_id": joined.member_id, "assignment": b"mine"}],
        **fields,
    }
    return await broker.call(SYNC_GROUP, version, **asked)


async def stable(broker: MemoryBroker) -> Any:
    joined = await member(broker)
    await sync(broker, 5, joined)
    return joined


def commit_fields(broker: MemoryBroker, topic: str = "t", index: int = 0) -> dict[str, Any]:
    known = broker.metadata.image.topics.get(topic)
    partition = {
        "partition_index": index,
        "committed_offset": 42,
        "committed_leader_epoch": 3,
        "committed_metadata": "note",
    }
    return {
        "group_id": "g",
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "group_instance_id": None,
        "retention_time_ms": -1,
        "topics": [
            {
                "name": topic,
                "topic_id": known.topic_id if known else UUID(int=5),
                "partitions": [partition],
            }
        ],
    }


@pytest.mark.parametrize("version", versions(FIND_COORDINATOR))
async def test_find_coordinator(version: int) -> None:
    broker = MemoryBroker()
    answer = await broker.call(
        FIND_COORDINATOR, version, key="g", key_type=0, coordinator_keys=["g"]
    )
    found = answer.coordinators[0] if version >= 4 else answer
    assert (found.error_code, found.node_id, found.host, found.port) == (0, 1, "here", 9)
    assert "__consumer_offsets" in broker.metadata.image.topics
    if version >= 1:
        answer = await broker.call(
            FIND_COORDINATOR, version, key="x", key_type=1, coordinator_keys=["x"]
        )
        found = answer.coordinators[0] if version >= 4 else answer
        assert found.error_code == Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        assert not Code(found.error_code).retriable


@pytest.mark.parametrize("version", versions(JOIN_GROUP))
async def test_join_group(broker: MemoryBroker, version: int) -> None:
    first = await join(broker, version)
    if version >= 4:
        assert first.error_code == Code.MEMBER_ID_REQUIRED
        assert first.member_id.startswith("app-")
        assert first.protocol_name == (None if version >= 7 else "")
        first = await join(broker, version, member_id=first.member_id)
    assert first.error_code == Code.NONE
    assert first.leader == first.member_id == first.members[0].member_id
    assert first.protocol_name == "range"
    assert first.generation_id == 1


async def test_join_group_refuses(broker: MemoryBroker) -> None:
    assert (await join(broker, group_id="")).error_code == Code.INVALID_GROUP_ID
    for bad in (5999, 1_800_001):
        answer = await join(broker, session_timeout_ms=bad)
        assert answer.error_code == Code.INVALID_SESSION_TIMEOUT


@pytest.mark.parametrize("version", versions(SYNC_GROUP))
async def test_sync_group(broker: MemoryBroker, version: int) -> None:
    joined = await member(broker)
    answer = await sync(broker, version, joined)
    assert (answer.error_code, answer.assignment) == (Code.NONE, b"mine")
    wrong = await sync(broker, version, joined, generation_id=9)
    assert wrong.error_code == Code.ILLEGAL_GENERATION
    assert (await sync(broker, version, joined, group_id="")).error_code == Code.INVALID_GROUP_ID


async def test_sync_group_needs_the_protocol_from_v5(broker: MemoryBroker) -> None:
    joined = await member(broker)
    answer = await sync(broker, 5, joined, protocol_name=None)
    assert answer.error_code == Code.INCONSISTENT_GROUP_PROTOCOL


@pytest.mark.parametrize("version", versions(HEARTBEAT))
async def test_heartbeat(broker: MemoryBroker, version: int) -> None:
    joined = await stable(broker)

    async def beat(**fields: Any) -> int:
        asked = {
            "group_id": "g",
            "generation_id": 1,
            "member_id": joined.member_id,
            "group_instance_id": None,
            **fields,
        }
        code: int = (await broker.call(HEARTBEAT, version, **asked)).error_code
        return code

    assert await beat() == Code.NONE
    assert await beat(generation_id=0) == Code.ILLEGAL_GENERATION
    assert await beat(member_id="x") == Code.UNKNOWN_MEMBER_ID
    assert await beat(group_id="x") == Code.UNKNOWN_MEMBER_ID
    assert await beat(group_id="") == Code.INVALID_GROUP_ID


@pytest.mark.parametrize("version", versions(LEAVE_GROUP))
async def test_leave_group(broker: MemoryBroker, version: int) -> None:
    joined = await stable(broker)

    async def leave(member_id: str) -> Any:
        who = {"member_id": member_id, "group_instance_id": None, "reason": None}
        return await broker.call(
            LEAVE_GROUP, version, group_id="g", member_id=member_id, members=[who]
        )

    def code(answer: Any) -> int:
        found: int = answer.members[0].error_code if version >= 3 else answer.error_code
        return found

    assert code(await leave("x")) == Code.UNKNOWN_MEMBER_ID
    assert code(await leave(joined.member_id)) == Code.NONE
    assert code(await leave(joined.member_id)) == Code.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("version", versions(OFFSET_COMMIT))
async def test_offset_commit(broker: MemoryBroker, version: int) -> None:
    fields = commit_fields(broker)
    fields["topics"] += commit_fields(broker, index=9)["topics"]
    fields["topics"] += commit_fields(broker, topic="none")["topics"]
    answer = await broker.call(OFFSET_COMMIT, version, **fields)
    codes = [
        (p.partition_index, Code(p.error_code).name)
        for topic in answer.topics
        for p in topic.partitions
    ]
    absent = "UNKNOWN_TOPIC_ID" if version >= 10 else "UNKNOWN_TOPIC_OR_PARTITION"
    expected = [(0, "NONE"), (0, absent), (9, "UNKNOWN_TOPIC_OR_PARTITION")]
    assert sorted(codes) == sorted(expected)
    fields = {**commit_fields(broker), "generation_id_or_member_epoch": 3, "group_id": "new"}
    answer = await broker.call(OFFSET_COMMIT, version, **fields)
    refused = Code.GROUP_ID_NOT_FOUND if version >= 9 else Code.ILLEGAL_GENERATION
    assert answer.topics[0].partitions[0].error_code == refused


@pytest.mark.parametrize("version", versions(OFFSET_FETCH))
async def test_offset_fetch(broker: MemoryBroker, version: int) -> None:
    await broker.call(OFFSET_COMMIT, 9, **commit_fields(broker))
    topic_id = broker.metadata.image.topics["t"].topic_id
    asked = [{"name": "t", "topic_id": topic_id, "partition_indexes": [0, 1]}]

    async def fetch(topics: Any) -> Any:
        group = {"group_id": "g", "member_id": None, "member_epoch": -1, "topics": topics}
        answer = await broker.call(
            OFFSET_FETCH,
            version,
            group_id="g",
            topics=topics,
            groups=[group],
            require_stable=True,
        )
        return answer.groups[0] if version >= 8 else answer

    found = (await fetch(asked)).topics[0]
    assert [p.committed_offset for p in found.partitions] == [42, -1]
    assert found.partitions[0].metadata == "note"
    if version >= 5:
        assert found.partitions[0].committed_leader_epoch == 3
    if version >= 2:
        everything = await fetch(None)
        assert everything.error_code == Code.NONE
        assert [len(t.partitions) for t in everything.topics] == [1]
    if version >= 10:
        asked = [{"name": "", "topic_id": UUID(int=5), "partition_indexes": [0]}]
        code = (await fetch(asked)).topics[0].partitions[0].error_code
        assert code == Code.UNKNOWN_TOPIC_ID


async def test_offsets_of_a_deleted_topic_are_gone(broker: MemoryBroker) -> None:
    await broker.call(OFFSET_COMMIT, 9, **commit_fields(broker))
    broker.delete("t")
    broker.create("t", 3)
    asked = [{"name": "t", "partition_indexes": [0]}]
    group = {"group_id": "g", "member_id": None, "member_epoch": -1, "topics": asked}
    answer = await broker.call(OFFSET_FETCH, 9, groups=[group], require_stable=False)
    assert answer.groups[0].topics[0].partitions[0].committed_offset == -1


@pytest.mark.parametrize("version", versions(DESCRIBE_GROUPS))
async def test_describe_groups(broker: MemoryBroker, version: int) -> None:
    joined = await stable(broker)
    answer = await broker.call(
        DESCRIBE_GROUPS, version, groups=["g", "none"], include_authorized_operations=True
    )
    found, absent = answer.groups
    assert (found.group_state, found.protocol_type, found.protocol_data) == (
        "Stable",
        "consumer",
        "range",
    )
    one = found.members[0]
    assert one.member_id == joined.member_id
    assert (one.client_id, one.client_host) == ("app", "/127.0.0.1")
    assert (one.member_metadata, one.member_assignment) == (subscription("t"), b"mine")
    assert absent.group_state == "Dead"
    assert absent.error_code == (Code.GROUP_ID_NOT_FOUND if version >= 6 else Code.NONE)
    if version >= 6:
        assert absent.error_message == "Group none not found."


@pytest.mark.parametrize("version", versions(LIST_GROUPS))
async def test_list_groups(broker: MemoryBroker, version: int) -> None:
    await stable(broker)
    await broker.call(OFFSET_COMMIT, 9, **{**commit_fields(broker), "group_id": "simple"})

    async def listed(states: list[str], types: list[str]) -> list[str]:
        answer = await broker.call(LIST_GROUPS, version, states_filter=states, types_filter=types)
        assert answer.error_code == Code.NONE
        return sorted(group.group_id for group in answer.groups)

    assert await listed([], []) == ["g", "simple"]
    if version >= 4:
        assert await listed(["stable"], []) == ["g"]
        assert await listed(["Empty", "Dead"], []) == ["simple"]
    if version >= 5:
        assert await listed([], ["Classic"]) == ["g", "simple"]
        assert await listed([], ["consumer"]) == []


@pytest.mark.parametrize("version", versions(DELETE_GROUPS))
async def test_delete_groups(broker: MemoryBroker, version: int) -> None:
    await stable(broker)
    await broker.call(OFFSET_COMMIT, 9, **{**commit_fields(broker), "group_id": "simple"})
    answer = await broker.call(DELETE_GROUPS, version, groups_names=["g", "simple", "none"])
    assert {r.group_id: Code(r.error_code).name for r in answer.results} == {
        "g": "NON_EMPTY_GROUP",
        "simple": "NONE",
        "none": "GROUP_ID_NOT_FOUND",
    }
    again = await broker.call(DELETE_GROUPS, version, groups_names=["simple"])
    assert again.results[0].error_code == Code.GROUP_ID_NOT_FOUND


async def test_offset_delete(broker: MemoryBroker) -> None:
    broker.create("other", 1)
    joined = await stable(broker)
    for topic in ("t", "other"):
        fields = {
            **commit_fields(broker, topic),
            "generation_id_or_member_epoch": 1,
            "member_id": joined.member_id,
        }
        await broker.call(OFFSET_COMMIT, 9, **fields)
    asked = [
        {"name": "t", "partitions": [{"partition_index": 0}, {"partition_index": 7}]},
        {"name": "other", "partitions": [{"partition_index": 0}]},
    ]
    answer = await broker.call(OFFSET_DELETE, 0, group_id="g", topics=asked)
    codes = {
        (t.name, p.partition_index): Code(p.error_code).name
        for t in answer.topics
        for p in t.partitions
    }
    assert codes == {
        ("t", 7): "UNKNOWN_TOPIC_OR_PARTITION",
        ("t", 0): "GROUP_SUBSCRIBED_TO_TOPIC",
        ("other", 0): "NONE",
    }
    shard = dict(broker.groups.shards())[broker.groups.partition_for("g") or 0]
    assert [(t, p) for _, t, p, _ in shard.offsets] == [("t", 0)]
    answer = await broker.call(OFFSET_DELETE, 0, group_id="none", topics=asked)
    assert answer.error_code == Code.GROUP_ID_NOT_FOUND


async def test_what_is_named_again_and_again_is_answered_once(broker: MemoryBroker) -> None:
    await stable(broker)
    await broker.call(OFFSET_COMMIT, 9, **{**commit_fields(broker), "group_id": "h"})
    described = await broker.call(
        DESCRIBE_GROUPS, 6, groups=["g", "x"] * 500, include_authorized_operations=False
    )
    assert [group.group_id for group in described.groups] == ["g", "x"]
    found = await broker.call(FIND_COORDINATOR, 6, key_type=0, coordinator_keys=["g"] * 500)
    assert len(found.coordinators) == 1
    topic_id = broker.metadata.image.topics["t"].topic_id
    topic = {"name": "t", "topic_id": topic_id, "partition_indexes": [0] * 500}
    other = {**topic, "partition_indexes": [1]}
    group = {"group_id": "h", "member_id": None, "member_epoch": -1, "topics": [topic, other] * 9}
    for version in (8, 10):
        fetched = await broker.call(
            OFFSET_FETCH, version, groups=[group] * 500, require_stable=False
        )
        ((answer,),) = [group.topics for group in fetched.groups]
        offsets = [(p.partition_index, p.committed_offset) for p in answer.partitions]
        assert offsets == [(0, 42), (1, -1)]


FOUR = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("key", "version", "fields"),
    [
        (DESCRIBE_GROUPS, 6, {"groups": FOUR, "include_authorized_operations": False}),
        (DELETE_GROUPS, 2, {"groups_names": FOUR}),
        (FIND_COORDINATOR, 6, {"coordinator_keys": FOUR, "key_type": 0}),
        (
            OFFSET_FETCH,
            7,
            {
                "group_id": "g",
                "topics": [{"name": "t", "partition_indexes": [0, 1, 2, 3]}],
                "require_stable": False,
            },
        ),
    ],
)
async def test_more_names_than_anybody_needs_break_the_protocol(
    broker: MemoryBroker,
    key: int,
    version: int,
    fields: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(named_once, "ITEMS_MAX", 3)
    with pytest.raises(ProtocolError):
        await broker.call(key, version, **fields)
