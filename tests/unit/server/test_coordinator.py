"""The coordinator runtime over memory partitions: load, write, commitment, timers, leadership."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from headrace.base.errors import Code
from headrace.config.topic import LogSettings
from headrace.core.coordinator import Now, Outcome
from headrace.core.groups.shard import GroupShard
from headrace.server import crash
from headrace.server.coordinator_loading import split_batches
from headrace.wire.batch import TRANSACTIONAL
from headrace.wire.offsets_topic import GroupKey, GroupMember, GroupValue, encode_group, encode_key
from headrace.wire.records import NewRecord, build_batch, walk
from headrace.wire.versions import DESCRIBE_GROUPS, HEARTBEAT, OFFSET_COMMIT, OFFSET_FETCH

from tests.coordinators import MemoryBroker, MemoryPartition
from tests.unit.server.test_group_apis import commit_fields, join, member, stable, sync


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    made = MemoryBroker(offsets_commit_timeout_ms=50)
    made.create("t", 3)
    await made.groups.ensure_topic()
    yield made
    await made.groups.close()


def partition_of(broker: MemoryBroker, group: str = "g") -> MemoryPartition:
    index = broker.groups.partition_for(group)
    assert index is not None
    found = broker.partitions.get(broker.groups.topic, index)
    assert found is not None
    return found


async def commit(broker: MemoryBroker, **fields: Any) -> Code:
    answer = await broker.call(OFFSET_COMMIT, 9, **{**commit_fields(broker), **fields})
    return Code(answer.topics[0].partitions[0].error_code)


async def fetch(broker: MemoryBroker, group: str = "g") -> int:
    asked = [{"name": "t", "partition_indexes": [0]}]
    groups = [{"group_id": group, "member_id": None, "member_epoch": -1, "topics": asked}]
    answer = await broker.call(OFFSET_FETCH, 9, groups=groups, require_stable=False)
    found = answer.groups[0]
    if found.error_code:
        return -int(found.error_code)
    offset: int = found.topics[0].partitions[0].committed_offset
    return offset


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_was_committed_is_there_after_a_restart(broker: MemoryBroker) -> None:
    joined = await stable(broker)
    await commit(broker, member_id=joined.member_id, generation_id_or_member_epoch=1)
    other = broker.restarted()
    await turns(50)
    assert await fetch(other) == 42
    described = await other.call(
        DESCRIBE_GROUPS, 6, groups=["g"], include_authorized_operations=False
    )
    assert described.groups[0].group_state == "Stable"
    await other.groups.close()


async def test_while_it_loads_it_says_so(broker: MemoryBroker) -> None:
    await commit(broker)
    other = broker.restarted()
    assert await fetch(other) == -Code.COORDINATOR_LOAD_IN_PROGRESS
    beat = {"group_id": "g", "generation_id": 1, "member_id": "m", "group_instance_id": None}
    # Kafka lets members live meanwhile.
    assert (await other.call(HEARTBEAT, 4, **beat)).error_code == Code.NONE
    await turns(50)
    assert await fetch(other) == 42
    await other.groups.close()


async def test_a_commit_is_answered_once_it_is_committed(broker: MemoryBroker) -> None:
    partition = partition_of(broker)
    partition.hold = True
    waits = asyncio.create_task(commit(broker))
    reads = asyncio.create_task(fetch(broker))
    await turns()
    assert not waits.done() and not reads.done()
    partition.commit()
    assert await waits is Code.NONE
    assert await reads == 42


async def test_a_commit_that_is_not_replicated_in_time_is_refused(broker: MemoryBroker) -> None:
    partition_of(broker).hold = True
    assert await commit(broker) is Code.COORDINATOR_NOT_AVAILABLE


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Code.NOT_ENOUGH_REPLICAS, Code.COORDINATOR_NOT_AVAILABLE),
        (Code.NOT_LEADER_OR_FOLLOWER, Code.NOT_COORDINATOR),
    ],
)
async def test_a_log_that_takes_no_writes(
    broker: MemoryBroker, refusal: Code, expected: Code
) -> None:
    partition_of(broker).refusal = refusal
    assert await commit(broker) is expected
    assert await fetch(broker) == -1


async def test_a_full_disk_refuses_and_room_heals(broker: MemoryBroker) -> None:
    partition_of(broker).full = True
    assert await commit(broker) is Code.NOT_COORDINATOR
    assert (await join(broker)).error_code == Code.NOT_COORDINATOR
    partition_of(broker).full = False
    # Nobody writes until there is room for everybody.
    assert broker.reserve.full
    assert await commit(broker) is Code.NOT_COORDINATOR
    assert await fetch(broker) == -1
    broker.reserve.full = False
    assert await commit(broker) is Code.NONE


async def test_a_batch_over_the_limit_is_refused_whole(broker: MemoryBroker) -> None:
    partition_of(broker).log.settings = LogSettings(max_message_bytes=150)
    topic = commit_fields(broker)["topics"][0]
    topic["partitions"] = [{**topic["partitions"][0], "partition_index": i} for i in range(3)]
    assert await commit(broker, topics=[topic]) is Code.UNKNOWN_SERVER_ERROR
    assert await fetch(broker) == -1


async def test_what_may_be_divided_is_written_in_several_batches(broker: MemoryBroker) -> None:
    topic = commit_fields(broker)["topics"][0]
    topic["partitions"] = [{**topic["partitions"][0], "partition_index": i} for i in range(3)]
    assert await commit(broker, topics=[topic]) is Code.NONE
    partition = partition_of(broker)
    before = len(partition.log.starts)
    partition.log.settings = LogSettings(max_message_bytes=90)
    broker.delete("t")
    assert len(partition.log.starts) == before + 3
    shard = dict(broker.groups.shards())[partition.index]
    assert list(shard.offsets) == []


async def test_lost_leadership_answers_everybody_and_forgets(broker: MemoryBroker) -> None:
    await stable(broker)
    waits = asyncio.create_task(member(broker))
    await turns()
    partition = partition_of(broker)
    partition.is_leader = False
    assert await fetch(broker) == -Code.NOT_COORDINATOR
    assert (await waits).error_code == Code.NOT_COORDINATOR
    assert partition.index not in dict(broker.groups.shards())
    partition.is_leader, partition.leader_epoch = True, 1
    assert await fetch(broker) == -Code.COORDINATOR_LOAD_IN_PROGRESS
    await turns(50)
    assert await fetch(broker) == -1


async def test_metrics_show_groups_and_their_lag(broker: MemoryBroker) -> None:
    await stable(broker)
    await commit(broker, group_id="simple")
    behind = broker.partitions.get("t", 0)
    assert behind is not None
    for _ in range(50):
        behind.append_as_leader(
            build_batch([NewRecord(b"k", b"v", broker.clock.wall_ms() - 7000)]), 0
        )
    lines = "".join(broker.groups.metrics()).splitlines()
    labels = 'consumergroup="simple",topic="t",partition="0"'
    assert f"kafka_consumergroup_current_offset{{{labels}}} 42" in lines
    assert f"kafka_consumergroup_lag{{{labels}}} 8" in lines
    assert 'kafka_consumergroup_lag_sum{consumergroup="simple",topic="t"} 8' in lines
    assert 'kafka_consumergroup_members{consumergroup="g"} 1' in lines
    labels = 'group="simple",topic="t",partition="0"'
    assert f"kafka_consumergroup_group_lag_seconds{{{labels}}} 7.0" in lines
    name = "kafka_coordinator_group_groupmetadatamanager_numgroups"
    assert f'{name}{{state="Stable"}} 1' in lines


async def test_timers_fire_and_are_armed_for_the_next(broker: MemoryBroker) -> None:
    joined = await stable(broker)
    broker.clock.ms = 9_999
    hosted = next(iter(h for h in broker.groups._hosted.values() if h.shard.groups))
    broker.groups._fire(hosted)
    assert hosted.timer is not None
    assert joined.member_id in hosted.shard.groups["g"].members
    broker.clock.ms = 10_000
    broker.groups._fire(hosted)
    assert not hosted.shard.groups["g"].members


async def test_a_record_that_cannot_be_read_is_passed_over_loudly(
    broker: MemoryBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    await commit(broker)
    partition = partition_of(broker)
    for key, value in ((b"\x00\x01", b"\x00\x04"), (b"\x00\x02\x00\x01x", b"\x00\x63")):
        partition.append_as_leader(build_batch([NewRecord(key, value, 0)]), 0)
    corrupt = build_batch([NewRecord(b"k", b"v", 0)])
    corrupt[-3] ^= 0x7F
    partition.append_as_leader(corrupt, 0)
    await commit(broker, group_id="g")
    other = broker.restarted()
    capsys.readouterr()
    await turns(50)
    assert await fetch(other) == 42
    assert other.groups.records_unreadable == 3
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "passed over" in line]
    assert partition.name in said and "first_offset=1" in said and "records=3" in said
    await other.groups.close()


async def test_a_log_that_cannot_be_read_takes_only_its_coordinator_away(
    broker: MemoryBroker,
) -> None:
    await commit(broker)
    partition = partition_of(broker)
    partition.log.file.pread = lambda count, position: b""  # type: ignore[method-assign]
    other = broker.restarted()
    await turns(50)
    assert await fetch(other) == -Code.NOT_COORDINATOR
    found = next(g for g in ("a", "b", "c", "d") if partition_of(other, g) is not partition)
    assert await fetch(other, found) == -1
    await other.groups.close()


async def test_kinds_of_records_that_are_not_ours_are_passed_over(broker: MemoryBroker) -> None:
    await commit(broker)
    partition = partition_of(broker)
    partition.append_as_leader(build_batch([NewRecord(b"\x00\x03\x00\x01x", b"\x00\x00", 0)]), 0)
    pending = build_batch([NewRecord(b"\x00\x01", b"", 0)], attributes=TRANSACTIONAL)
    partition.append_as_leader(pending, 0)
    other = broker.restarted()
    await turns(50)
    assert await fetch(other) == 42
    await other.groups.close()


async def test_a_long_log_is_loaded_beside_other_work(broker: MemoryBroker) -> None:
    for number in range(30):
        topic = commit_fields(broker)["topics"][0]
        topic["partitions"] = [
            {**topic["partitions"][0], "partition_index": i % 3, "committed_metadata": "x" * 4000}
            for i in range(30)
        ]
        topic["partitions"][-3]["committed_offset"] = number
        assert await commit(broker, topics=[topic]) is Code.NONE
    other = broker.restarted()
    for _ in range(2000):
        if await fetch(other) != -Code.COORDINATOR_LOAD_IN_PROGRESS:
            break
        await asyncio.sleep(0.001)
    assert await fetch(other) == 29
    await other.groups.close()


async def test_writes_of_one_shard_settle_in_their_order(broker: MemoryBroker) -> None:
    partition = partition_of(broker)
    partition.hold = True
    settled: list[int] = []
    index = partition.index

    def write(number: int) -> None:
        def operation(shard: GroupShard, token: int, now: Now) -> Outcome:
            out = Outcome(records=[_empty_group(f"w{number}")])

            def then(code: Code, now: Now) -> Outcome:
                settled.append(number)
                if number == 0:
                    # Writing again from within must come after what waits already.
                    return Outcome(records=[_empty_group("nested")])
                return Outcome()

            out.then = then
            return out

        broker.groups.tell_at(index, operation)

    for number in range(3):
        write(number)
    assert settled == []
    partition.commit()
    await turns()
    assert settled == [0, 1, 2]
    partition.commit()
    shard = dict(broker.groups.shards())[index]
    replayed = GroupShard(broker.settings)
    for record in (
        replayed.decode(r.key or b"", r.value)
        for _, position in partition.log.starts
        for r in _walk(partition, position)
    ):
        assert record is not None
        replayed.replay(record)
    assert replayed.durable() == shard.durable()


def _empty_group(group_id: str) -> Any:
    return GroupKey(group_id=group_id), GroupValue()


def _walk(partition: MemoryPartition, position: int) -> Any:
    first = next(split_batches(memoryview(bytes(partition.log.file.data))[position:]))
    return walk(first)


LONG = "x" * 40_000


@pytest.mark.parametrize(
    "fields", [{"protocol_type": LONG}, {"member_id": LONG}, {"protocols": LONG}]
)
async def test_strings_that_no_record_can_hold_are_refused(
    broker: MemoryBroker, fields: dict[str, Any]
) -> None:
    if "protocols" in fields:
        fields = {"protocols": [{"name": LONG, "metadata": b""}]}
    answer = await join(broker, 9, group_instance_id="s", **fields)
    assert answer.error_code == Code.INVALID_REQUEST
    # Together with the UUID behind it this member's id would be too long.
    answer = await join(broker, 9, group_instance_id="x" * 32_750)
    assert answer.error_code == Code.INVALID_REQUEST
    assert (await join(broker, 9, group_id=LONG)).error_code == Code.INVALID_GROUP_ID
    assert await commit(broker, group_id=LONG) is Code.INVALID_GROUP_ID
    assert await fetch(broker, LONG) == -Code.INVALID_GROUP_ID
    assert not any(shard.groups for _, shard in broker.groups.shards())


async def test_a_record_that_has_no_form_is_refused_and_its_timer_survives(
    broker: MemoryBroker,
) -> None:
    """As if a request had brought it in: the write is refused, before and in a timer."""
    joined = await join(broker, 9, group_instance_id="s")
    assert joined.error_code == Code.NONE
    partition = partition_of(broker)
    hosted = broker.groups._hosted[partition.index]
    group = hosted.shard.groups["g"]
    group.protocol_type = LONG
    end_offset = partition.log.log_end_offset
    assert (await sync(broker, 5, joined, protocol_type=LONG, group_instance_id="s")).error_code
    broker.clock.ms = 60_000
    broker.groups._fire(hosted)
    assert partition.log.log_end_offset == end_offset
    assert not group.members
    assert await commit(broker, group_id="other") is Code.NONE


async def test_a_bug_while_loading_ends_the_process_and_a_broken_log_line_hides_nothing(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit(broker)
    ended: list[BaseException] = []
    monkeypatch.setattr(crash, "now", ended.append)

    def broken(*_: object, **__: object) -> None:
        raise KeyError("line")

    monkeypatch.setattr("headrace.server.coordinator.log", SimpleNamespace(debug=broken))
    other = broker.restarted()
    await turns(50)
    assert await fetch(other) == 42
    assert [type(bug) for bug in ended] == [KeyError]
    await other.groups.close()


async def test_a_group_record_that_names_a_member_twice_is_passed_over(
    broker: MemoryBroker,
) -> None:
    await commit(broker)
    one = GroupMember(
        member_id="m",
        group_instance_id="s",
        client_id="c",
        client_host="/h",
        session_timeout_ms=6000,
        subscription=b"",
        assignment=b"",
    )
    for members in ((one, one), (one, replace(one, member_id="n"))):
        key, value = encode_key(GroupKey(group_id="g")), encode_group(GroupValue(members=members))
        partition_of(broker).append_as_leader(build_batch([NewRecord(key, value, 0)]), 0)
    other = broker.restarted()
    await turns(50)
    assert await fetch(other) == 42
    assert "headrace_group_records_unreadable_total 2\n" in "".join(other.groups.metrics())
    await other.groups.close()
