"""The other admin APIs, through a real broker: elections, folders, features, producer ids, records.

The codes were compared with Apache Kafka 4.3 by sending both the same requests.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from headrace.base.errors import Code
from headrace.storage.disk import DiskFull
from headrace.storage.os_disk import OsDisk
from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import SET, TOPIC, Rig, running


@pytest_asyncio.fixture(loop_scope="function")
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path / "data") as started:
        await started.create("t", 2)
        yield started


async def test_describe_cluster(rig: Rig) -> None:
    answer = await rig(60, 2, include_cluster_authorized_operations=True, endpoint_type=1,
                       include_fenced_brokers=True)  # fmt: skip
    (broker,) = answer["brokers"]
    assert (broker["broker_id"], answer["controller_id"]) == (1, 1)
    assert broker["port"] == rig.broker.kafka_endpoints[0].port
    assert answer["cluster_id"] == rig.broker.cluster_id
    assert answer["cluster_authorized_operations"] > 0
    for endpoint_type, code in (
        (2, Code.MISMATCHED_ENDPOINT_TYPE),
        (3, Code.UNSUPPORTED_ENDPOINT_TYPE),
    ):
        answer = await rig(
            60, 1, include_cluster_authorized_operations=False, endpoint_type=endpoint_type
        )
        assert answer["error_code"] == code


async def test_clients_are_told_whom_to_ask_while_there_is_no_controller(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = rig.broker.metadata
    monkeypatch.setattr(metadata, "_shown", replace(metadata.image, controller_id=-1))
    told = await rig(3, 7, topics=[], allow_auto_topic_creation=False)
    assert told["controller_id"] == 1
    told = await rig(60, 1, include_cluster_authorized_operations=False, endpoint_type=1)
    assert told["controller_id"] == -1


async def test_elections_are_not_needed_while_the_preferred_leader_leads(rig: Rig) -> None:
    async def elect(election: int, *places: tuple[str, list[int]]) -> list[int]:
        asked = [{"topic": name, "partitions": indexes} for name, indexes in places]
        answer = await rig(43, 2, election_type=election, topic_partitions=asked)
        results = answer["replica_election_results"]
        return [p["error_code"] for result in results for p in result["partition_result"]]

    needless, unknown = Code.ELECTION_NOT_NEEDED, Code.UNKNOWN_TOPIC_OR_PARTITION
    assert await elect(0, ("t", [0, 9]), ("zz", [0])) == [needless, unknown, unknown]
    assert await elect(1, ("t", [0])) == [needless]
    assert await elect(5, ("t", [0])) == [Code.INVALID_REQUEST]
    answer = await rig(43, 2, election_type=0, topic_partitions=None)
    assert [r["partition_result"] for r in answer["replica_election_results"]] == [[]]


async def test_reassignment_validates_and_moves_nothing(rig: Rig) -> None:
    async def reassign(index: int, replicas: list[int] | None, topic: str = "t") -> int:
        item = {"partition_index": index, "replicas": replicas}
        answer = await rig(45, 1, topics=[{"name": topic, "partitions": [item]}])
        return int(answer["responses"][0]["partitions"][0]["error_code"])

    before = rig.broker.metadata.image
    assert await reassign(0, [1]) == 0
    assert await reassign(0, [2]) == Code.INVALID_REPLICA_ASSIGNMENT
    assert await reassign(0, [1, 1]) == Code.INVALID_REPLICA_ASSIGNMENT
    assert await reassign(0, []) == Code.INVALID_REPLICA_ASSIGNMENT
    assert await reassign(0, None) == Code.NO_REASSIGNMENT_IN_PROGRESS
    assert await reassign(9, [1]) == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert await reassign(0, [1], "zz") == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert rig.broker.metadata.image is before
    assert (await rig(46, 0, topics=None))["topics"] == []


async def test_log_dirs(rig: Rig) -> None:
    folder = rig.broker.data_dir.path
    answer = await rig(35, 4, topics=[{"topic": "t", "partitions": [1, 9]}])
    (result,) = answer["results"]
    assert result["log_dir"] == folder
    assert [p["partition_index"] for p in result["topics"][0]["partitions"]] == [1]
    assert result["total_bytes"] > result["usable_bytes"] > 0
    answer = await rig(35, 1, topics=None)
    assert len(answer["results"][0]["topics"][0]["partitions"]) == 2

    async def move(path: str, topic: str, index: int) -> int:
        topics = [{"name": topic, "partitions": [index]}]
        answer = await rig(34, 2, dirs=[{"path": path, "topics": topics}])
        return int(answer["results"][0]["partitions"][0]["error_code"])

    assert await move(folder, "t", 0) == 0
    assert await move("/elsewhere", "t", 0) == Code.LOG_DIR_NOT_FOUND
    assert await move(folder, "t", 9) == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert await move(folder, "a" * 249, 0) == Code.INVALID_TOPIC_EXCEPTION


async def test_describe_quorum_tells_of_the_metadata_store(rig: Rig) -> None:
    async def describe(topic: str, index: int) -> dict[str, object]:
        topics = [{"topic_name": topic, "partitions": [{"partition_index": index}]}]
        answer = await rig(55, 2, topics=topics)
        found: dict[str, object] = answer["topics"][0]["partitions"][0]
        return found

    found = await describe("__cluster_metadata", 0)
    assert found["leader_id"] == 1
    assert found["high_watermark"] == rig.broker.metadata.image.revision
    assert [voter["replica_id"] for voter in found["current_voters"]] == [1]  # type: ignore[attr-defined]
    assert (await describe("__cluster_metadata", 1))["error_code"] == 3
    assert (await describe("t", 0))["error_code"] == 3


async def test_update_features(rig: Rig) -> None:
    async def update(name: str, level: int, kind: int = 1, validate_only: bool = False) -> int:
        asked = {"feature": name, "max_version_level": level, "upgrade_type": kind}
        answer = await rig(57, 2, feature_updates=[asked], validate_only=validate_only)
        return int(answer["error_code"])

    refused = Code.INVALID_UPDATE_VERSION
    assert await update("group.version", 1) == refused
    assert await update("headrace.format", 2) == refused
    assert await update("headrace.format", -1) == refused
    assert await update("headrace.format", 0) == refused
    assert await update("headrace.format", 1, validate_only=True) == 0
    assert rig.broker.metadata.image.features == {}
    assert await update("headrace.format", 1) == 0
    assert rig.broker.metadata.image.features == {"headrace.format": 1}
    assert await update("headrace.format", 0) == refused
    assert await update("headrace.format", 0, 2) == 0
    assert rig.broker.metadata.image.features == {}
    answer = await rig(57, 0, feature_updates=[
        {"feature": "headrace.format", "max_version_level": 1, "allow_downgrade": False}
    ])  # fmt: skip
    assert [result["feature"] for result in answer["results"]] == ["headrace.format"]


async def init(rig: Rig, transactional_id: str | None, known: int = -1, epoch: int = -1) -> object:
    answer = await rig(
        22, 5, transactional_id=transactional_id, transaction_timeout_ms=1000,
        producer_id=known, producer_epoch=epoch,
    )  # fmt: skip
    return answer["error_code"] or answer["producer_id"]


async def test_producer_ids_are_never_given_twice(tmp_path: Path) -> None:
    given: list[object] = []
    for _ in range(2):
        async with running(tmp_path / "d") as rig:
            given += [await init(rig, None) for _ in range(3)]
            given.append(await init(rig, None, given[0], 0))  # type: ignore[arg-type]
    assert len(set(given)) == len(given) == 8


async def test_what_init_producer_id_refuses(rig: Rig) -> None:
    assert await init(rig, "tx") == Code.INVALID_TRANSACTION_TIMEOUT
    assert await init(rig, "") == Code.INVALID_REQUEST
    assert await init(rig, None, 5, -1) == Code.INVALID_REQUEST
    assert await init(rig, None, -1, 5) == Code.INVALID_REQUEST


async def test_delete_records_moves_the_start(rig: Rig) -> None:
    partition = rig.broker.partitions.get("t", 0)
    assert partition is not None
    for _ in range(3):
        record = NewRecord(timestamp=1, key=None, value=b"x")
        partition.append_as_leader(build_batch([record]), 1)

    async def delete(offset: int, index: int = 0, topic: str = "t") -> tuple[int, int]:
        item = {"partition_index": index, "offset": offset}
        answer = await rig(21, 2, topics=[{"name": topic, "partitions": [item]}])
        found = answer["topics"][0]["partitions"][0]
        return found["error_code"], found["low_watermark"]

    assert await delete(2) == (0, 2)
    assert await delete(1) == (0, 2)
    assert await delete(4) == (Code.OFFSET_OUT_OF_RANGE, -1)
    assert await delete(-2) == (Code.OFFSET_OUT_OF_RANGE, -1)
    assert await delete(-1) == (0, 3)
    assert await delete(0, 9) == (Code.UNKNOWN_TOPIC_OR_PARTITION, -1)
    assert await delete(0, 0, "zz") == (Code.UNKNOWN_TOPIC_OR_PARTITION, -1)
    await rig.alter(TOPIC, "t", ("cleanup.policy", "compact", SET))
    assert await delete(0) == (Code.POLICY_VIOLATION, -1)


@pytest.mark.parametrize("tries", [1, 2])
async def test_delete_records_answers_once_it_is_written_down(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    """The reserve makes room for the second try; without a checkpoint nothing is acknowledged."""
    partition = rig.broker.partitions.get("t", 0)
    assert partition is not None
    partition.append_as_leader(build_batch([NewRecord(timestamp=1, key=None, value=b"x")]), 1)
    refused = []
    write = OsDisk.write_atomically

    def full(self: OsDisk, path: str, parts: Any, *, durable: bool = True) -> None:
        if "log-start-offset" in path and len(refused) < tries:
            refused.append(path)
            raise DiskFull("no room")
        write(self, path, parts, durable=durable)

    monkeypatch.setattr(OsDisk, "write_atomically", full)
    item = {"partition_index": 0, "offset": 1}
    answer = await rig(21, 2, topics=[{"name": "t", "partitions": [item]}])
    found = answer["topics"][0]["partitions"][0]
    assert len(refused) == tries
    assert rig.broker.reserve.full
    code, start = (Code.NONE, 1) if tries == 1 else (Code.KAFKA_STORAGE_ERROR, -1)
    assert (found["error_code"], found["low_watermark"]) == (code, start)


async def test_describe_producers(rig: Rig) -> None:
    partition = rig.broker.partitions.get("t", 0)
    assert partition is not None
    record = NewRecord(timestamp=7, key=None, value=b"x")
    batch = build_batch([record], producer_id=40, producer_epoch=2, base_sequence=0)
    partition.append(memoryview(batch), 0, len(batch), 1, 7)
    asked = [
        {"name": "t", "partition_indexes": [0, 1, 9]},
        {"name": "a b", "partition_indexes": [0]},
    ]
    answer = await rig(61, 0, topics=asked)
    known, empty, absent = answer["topics"][0]["partitions"]
    (producer,) = known["active_producers"]
    assert (producer["producer_id"], producer["producer_epoch"]) == (40, 2)
    assert (producer["last_sequence"], producer["last_timestamp"]) == (0, 7)
    assert (empty["error_code"], empty["active_producers"]) == (0, [])
    assert absent["error_code"] == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert answer["topics"][1]["partitions"][0]["error_code"] == Code.INVALID_TOPIC_EXCEPTION


@pytest.mark.parametrize("version", [0, 1])
async def test_old_elections_are_preferred_ones(rig: Rig, version: int) -> None:
    asked = [{"topic": "t", "partitions": [0]}]
    answer = await rig(43, version, election_type=0, topic_partitions=asked)
    (result,) = answer["replica_election_results"]
    assert result["partition_result"][0]["error_code"] == Code.ELECTION_NOT_NEEDED
