"""Bytes of Kafka 4.3's own classes: see golden/README.md."""

from pathlib import Path
from uuid import UUID

import pytest
from crc32c import crc32c
from headrace.wire import offsets_topic, records
from headrace.wire.batch import CODEC_MASK, CRC_FROM, read_batch_header
from headrace.wire.compression import CODECS
from headrace.wire.consumer_protocol import (
    Assignment,
    Subscription,
    read_assignment,
    read_subscription,
    write_assignment,
    write_subscription,
)
from headrace.wire.producer_snapshot import ProducerEntry, decode_snapshot, encode_snapshot

GOLDEN = Path(__file__).parent / "golden"
GROUP = offsets_topic.GroupValue(
    protocol_type="consumer",
    generation=9,
    protocol="range",
    leader="m-1",
    current_state_timestamp_ms=1700000000002,
    members=(
        offsets_topic.GroupMember(
            member_id="m-1",
            group_instance_id="static-1",
            client_id="c",
            client_host="/127.0.0.1",
            rebalance_timeout_ms=300000,
            session_timeout_ms=45000,
            subscription=b"\1\2\3",
            assignment=b"\4\5",
        ),
    ),
)
OFFSET = offsets_topic.OffsetValue(
    offset=123456789012,
    leader_epoch=6,
    metadata="meta",
    commit_timestamp_ms=1700000000001,
    topic_id=UUID("01234567-89ab-cdef-1122-334455667788"),
)


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def kafka_records() -> list[records.NewRecord]:
    """What Golden.java put into every batch."""
    return [
        records.NewRecord(
            None if i % 3 == 0 else f"key-{i}".encode(),
            None if i % 5 == 4 else b"v" * (i * 9),
            1700000000000 + (i * 37) % 100,
            (records.Header("trace", f"id-{i}".encode()), records.Header("empty", None))
            if i % 4 == 0
            else (),
        )
        for i in range(40)
    ]


@pytest.mark.parametrize(("name", "codec"), [("none", 0), *list(CODECS.items())[1:]])
def test_batches_of_every_codec_are_read(name: str, codec: int) -> None:
    batch = golden(f"batch-{name}.bin")
    header = read_batch_header(batch, 0)

    assert header.size_bytes == len(batch)
    assert header.crc == crc32c(batch[CRC_FROM:])
    assert header.attributes & CODEC_MASK == codec
    assert (header.base_offset, header.producer_id, header.producer_epoch) == (4711, 9000, 3)
    assert (header.base_sequence, header.leader_epoch, header.record_count) == (77, 5, 40)
    assert [
        (r.key, r.value, r.timestamp, r.headers) for r in records.walk(batch)
    ] == kafka_records()
    assert [r.offset for r in records.walk(batch)] == list(range(4711, 4751))


def test_an_uncompressed_batch_is_built_byte_for_byte() -> None:
    ours = records.build_batch(
        kafka_records(),
        base_offset=4711,
        leader_epoch=5,
        producer_id=9000,
        producer_epoch=3,
        base_sequence=77,
    )
    assert bytes(ours) == golden("batch-none.bin")


def test_keys_of_the_offsets_topic() -> None:
    offset = offsets_topic.OffsetKey(group_id="grp", topic="top", partition=7)
    group = offsets_topic.GroupKey(group_id="grp")
    for key, data in ((offset, golden("offset-key.bin")), (group, golden("group-key.bin"))):
        assert offsets_topic.encode_key(key) == data
        assert offsets_topic.decode_key(data) == key


@pytest.mark.parametrize("version", range(5))
def test_committed_offsets_in_every_version(version: int) -> None:
    read = offsets_topic.decode_offset(golden(f"offset-value-v{version}.bin"))

    assert (read.offset, read.metadata) == (OFFSET.offset, "meta")
    assert read.commit_timestamp_ms == OFFSET.commit_timestamp_ms
    assert read.leader_epoch == (6 if version >= 3 else -1)
    assert read.expire_timestamp_ms == (1700000099999 if version == 1 else -1)
    assert read.topic_id == (OFFSET.topic_id if version == 4 else None)
    if version in (1, 4):  # the two that Kafka 4.3 writes
        assert offsets_topic.encode_offset(read) == golden(f"offset-value-v{version}.bin")


@pytest.mark.parametrize("version", range(5))
def test_groups_in_every_version(version: int) -> None:
    read = offsets_topic.decode_group(golden(f"group-value-v{version}.bin"))

    member = read.members[0]
    assert (member.member_id, member.session_timeout_ms) == ("m-1", 45000)
    assert (member.subscription, member.assignment) == (b"\1\2\3", b"\4\5")
    assert member.rebalance_timeout_ms == (300000 if version >= 1 else -1)
    assert member.group_instance_id == ("static-1" if version >= 3 else None)
    assert read.current_state_timestamp_ms == (1700000000002 if version >= 2 else -1)
    if version >= 3:
        assert read == GROUP


def test_a_group_is_written_as_kafka_writes_it() -> None:
    assert offsets_topic.encode_group(GROUP) == golden("group-value-v3.bin")


def test_consumer_protocol() -> None:
    owned = {"a": (0, 2), "b": (1,)}
    subscription = Subscription(
        topics=("a", "b"), user_data=b"\t", owned=owned, generation_id=5, rack_id="rack-1"
    )
    assert read_subscription(golden("subscription.bin")) == subscription
    assert write_subscription(subscription) == golden("subscription.bin")
    assert read_assignment(golden("assignment.bin")) == Assignment(partitions=owned)
    assert write_assignment(Assignment(partitions=owned)) == golden("assignment.bin")


def test_producer_snapshot() -> None:
    entries = [
        ProducerEntry(
            producer_id=9000,
            producer_epoch=3,
            last_sequence=116,
            last_offset=4750,
            offset_delta=39,
            timestamp=1700000000003,
        ),
        ProducerEntry(
            producer_id=9001,
            producer_epoch=0,
            last_sequence=-1,
            last_offset=-1,
            offset_delta=0,
            timestamp=1700000000004,
            coordinator_epoch=12,
            current_txn_first_offset=4800,
        ),
    ]
    data = golden("producers.snapshot")
    assert encode_snapshot(decode_snapshot(data)) == data
    assert decode_snapshot(data) == entries
