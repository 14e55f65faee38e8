"""CreateTopics, DeleteTopics, CreatePartitions and what shows of them, through a real broker.

The codes were compared with Apache Kafka 4.3 by sending both the same requests.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from headrace.base.errors import Code

from tests.unit.server.admin_rig import TOPIC, ZERO, Rig, running, topic


@pytest_asyncio.fixture(loop_scope="function")
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path / "data") as started:
        yield started


async def codes(rig: Rig, *topics: dict[str, Any], validate_only: bool = False) -> list[int]:
    answer = await rig(19, 7, topics=topics, validate_only=validate_only)
    return [result["error_code"] for result in answer["topics"]]


async def test_a_created_topic_is_seen_by_the_next_request(rig: Rig) -> None:
    made = await rig.create("t", 3, retention_ms="5")
    assert (made["error_code"], made["num_partitions"], made["replication_factor"]) == (0, 3, 1)
    configs = {config["name"]: config for config in made["configs"]}
    assert configs["retention.ms"]["value"] == "5"
    assert configs["retention.ms"]["config_source"] == 1
    assert configs["segment.ms"]["config_source"] == 5
    assert rig.broker.metadata.image.topics["t"].topic_id == made["topic_id"]
    assert [p.index for p in rig.broker.partitions.of_topic("t")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (topic("", 1), Code.INVALID_TOPIC_EXCEPTION),
        (topic("..", 1), Code.INVALID_TOPIC_EXCEPTION),
        (topic("a" * 250, 1), Code.INVALID_TOPIC_EXCEPTION),
        (topic("a" * 249, 1), Code.NONE),
        (topic("no blanks", 1), Code.INVALID_TOPIC_EXCEPTION),
        (topic("__cluster_metadata", 1), Code.INVALID_REQUEST),
        (topic("t", 0), Code.INVALID_PARTITIONS),
        (topic("t", -2), Code.INVALID_PARTITIONS),
        (topic("t", 1, 0), Code.INVALID_REPLICATION_FACTOR),
        (topic("t", 1, 2), Code.INVALID_REPLICATION_FACTOR),
        (topic("t", 10_001), Code.POLICY_VIOLATION),
        (topic("t", 1, -1, ((0, (1,)),)), Code.INVALID_REQUEST),
        (topic("t", -1, 1, ((0, (1,)),)), Code.INVALID_REQUEST),
        (topic("t", -1, -1, ((0, (1,)), (0, (1,)))), Code.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, ((0, (1,)), (2, (1,)))), Code.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, ((0, (1, 1)),)), Code.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, ((0, (2,)),)), Code.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, ((0, ()),)), Code.INVALID_REPLICA_ASSIGNMENT),
        (topic("t", -1, -1, ((1, (1,)), (0, (1,)))), Code.NONE),
        (topic("t", configs=[("nope", "1")]), Code.INVALID_CONFIG),
        (topic("t", configs=[("retention.ms", None)]), Code.INVALID_CONFIG),
        (topic("t", configs=[("retention.ms", "-2")]), Code.INVALID_CONFIG),
        (topic("t", configs=[("cleanup.policy", "burn")]), Code.INVALID_CONFIG),
        (topic("t", configs=[("cleanup.policy", "")]), Code.NONE),
        (
            topic("t", configs=[("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")]),
            Code.INVALID_CONFIG,
        ),
    ],
)
async def test_what_create_topics_takes(rig: Rig, asked: dict[str, Any], code: Code) -> None:
    assert await codes(rig, asked, validate_only=True) == [code]
    assert not rig.broker.metadata.image.topics
    assert await codes(rig, asked) == [code]
    assert (asked["name"] in rig.broker.metadata.image.topics) == (code is Code.NONE)


async def test_good_and_bad_topics_of_one_request_stand_alone(rig: Rig) -> None:
    twice = [topic("d", 1), topic("d", 1)]
    assert await codes(rig, topic("a.b", 1), topic("a_b", 1), topic("c", 1), *twice) == [
        Code.NONE,
        Code.INVALID_TOPIC_EXCEPTION,
        Code.NONE,
        Code.INVALID_REQUEST,
    ]
    assert await codes(rig, topic("c", 1)) == [Code.TOPIC_ALREADY_EXISTS]
    assert sorted(rig.broker.metadata.image.topics) == ["a.b", "c"]


async def test_a_topic_of_many_partitions_takes_several_transactions(rig: Rig) -> None:
    made = await rig.create("wide", 130)
    assert made["error_code"] == 0
    assert len(rig.broker.metadata.image.topics["wide"].partitions) == 130
    answer = await rig(20, 5, topic_names=["wide"])
    assert answer["responses"][0]["error_code"] == 0
    assert not rig.broker.metadata.builder.orphans
    assert not rig.broker.metadata.builder.deleting


async def test_a_deleted_name_is_free_at_once_under_another_id(rig: Rig) -> None:
    first = (await rig.create("t"))["topic_id"]
    answer = await rig(20, 6, topics=[{"name": None, "topic_id": first}])
    assert answer["responses"][0]["error_code"] == 0
    assert answer["responses"][0]["name"] == "t"
    second = (await rig.create("t"))["topic_id"]
    assert second != first
    answer = await rig(20, 6, topics=[{"name": None, "topic_id": first}])
    assert answer["responses"][0]["error_code"] == Code.UNKNOWN_TOPIC_ID
    assert rig.broker.metadata.image.topics["t"].topic_id == second


async def test_what_delete_topics_refuses(rig: Rig) -> None:
    topic_id = (await rig.create("t"))["topic_id"]
    await rig.create("u")

    async def delete(*asked: tuple[str | None, UUID]) -> list[int]:
        topics = [{"name": name, "topic_id": given} for name, given in asked]
        answer = await rig(20, 6, topics=topics)
        return [response["error_code"] for response in answer["responses"]]

    assert await delete(("absent", ZERO)) == [Code.UNKNOWN_TOPIC_OR_PARTITION]
    assert await delete((None, ZERO)) == [Code.INVALID_REQUEST]
    assert await delete(("t", topic_id)) == [Code.INVALID_REQUEST]
    assert await delete(("t", ZERO), ("t", ZERO)) == [Code.INVALID_REQUEST]
    assert await delete(("t", ZERO), (None, topic_id)) == [Code.INVALID_REQUEST] * 2
    assert "t" in rig.broker.metadata.image.topics
    assert await delete(("u", ZERO), ("absent", ZERO)) == [0, Code.UNKNOWN_TOPIC_OR_PARTITION]
    assert "u" not in rig.broker.metadata.image.topics


@pytest.mark.parametrize(("version", "code"), [(1, 42), (3, 73), (6, 73)])
async def test_deletion_can_be_forbidden(tmp_path: Path, version: int, code: int) -> None:
    async with running(tmp_path / "d", delete_topic_enable="false") as rig:
        await rig.create("t")
        asked: dict[str, Any] = {"topic_names": ["t"]}
        if version == 6:
            asked = {"topics": [{"name": "t", "topic_id": ZERO}]}
        answer = await rig(20, version, **asked)
        assert answer["responses"][0]["error_code"] == code


async def test_create_partitions_adds_and_refuses(rig: Rig) -> None:
    await rig.create("t", 2)

    async def grow(count: int, assignments: Any = None, validate_only: bool = False) -> int:
        given = assignments and [{"broker_ids": a} for a in assignments]
        topics = [{"name": "t", "count": count, "assignments": given}]
        answer = await rig(37, 3, topics=topics, validate_only=validate_only)
        return int(answer["results"][0]["error_code"])

    assert await grow(2) == Code.INVALID_PARTITIONS
    assert await grow(1) == Code.INVALID_PARTITIONS
    assert await grow(4, [(1,)]) == Code.INVALID_REPLICA_ASSIGNMENT
    assert await grow(3, [(7,)]) == Code.INVALID_REPLICA_ASSIGNMENT
    assert await grow(20_000) == Code.POLICY_VIOLATION
    assert await grow(3, [(1,)], validate_only=True) == 0
    assert len(rig.broker.metadata.image.topics["t"].partitions) == 2
    assert await grow(3, [(1,)]) == 0
    assert await grow(130) == 0
    assert len(rig.broker.metadata.image.topics["t"].partitions) == 130
    assert rig.broker.partitions.get("t", 129) is not None
    twice = [{"name": "t", "count": 150, "assignments": None}] * 2
    answer = await rig(37, 3, topics=twice, validate_only=False)
    assert [result["error_code"] for result in answer["results"]] == [Code.INVALID_REQUEST]


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as rig:
        topic_id = (await rig.create("t", 3, retention_ms="5"))["topic_id"]
        await rig.create("gone")
        await rig(20, 5, topic_names=["gone"])
    async with running(tmp_path / "d") as rig:
        state = rig.broker.metadata.image.topics["t"]
        assert (state.topic_id, len(state.partitions)) == (topic_id, 3)
        assert (await rig.describe(TOPIC, "t", "retention.ms"))["retention.ms"]["value"] == "5"
        assert "gone" not in rig.broker.metadata.image.topics


async def test_describe_topic_partitions_pages(rig: Rig) -> None:
    await rig.create("a", 3)
    await rig.create("b", 2)
    seen, cursor = [], None
    for _ in range(9):
        answer = await rig(75, 0, topics=[], response_partition_limit=2, cursor=cursor)
        for found in answer["topics"]:
            seen += [(found["name"], p["partition_index"]) for p in found["partitions"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]
    answer = await rig(75, 0, topics=[{"name": "zz"}, {"name": "b"}], response_partition_limit=9)
    assert [t["error_code"] for t in answer["topics"]] == [0, Code.UNKNOWN_TOPIC_OR_PARTITION]
    outside = {"topic_name": "zz", "partition_index": 0}
    answer = await rig(75, 0, topics=[{"name": "b"}], response_partition_limit=9, cursor=outside)
    assert [t["error_code"] for t in answer["topics"]] == [Code.INVALID_REQUEST]


async def test_one_metadata_request_makes_a_bounded_number_of_partitions(tmp_path: Path) -> None:
    bound = {"partitions_per_request_max": "4", "num_partitions": "2"}
    async with running(tmp_path / "data", **bound) as rig:
        topics = [{"name": f"t{number}"} for number in range(5)]
        answers = [await rig(3, 4, topics=topics, allow_auto_topic_creation=True) for _ in range(2)]
    absent = Code.UNKNOWN_TOPIC_OR_PARTITION
    codes = [[topic["error_code"] for topic in answer["topics"]] for answer in answers]
    assert codes == [[0, 0, absent, absent, absent], [0, 0, 0, 0, absent]]
