"""Produce: what is taken, what is refused and why, and idempotent producers."""

from typing import Any

from e2e.compat.differential.peer import Peer
from e2e.compat.differential.sequence import sequence
from e2e.compat.sequences.batches import T0_MS, batch
from e2e.compat.sequences.setting import Topic, fetched, produced, topic

HOUR_MS = 3_600_000
YEAR_3000_MS = 32_503_680_000_000


def send(peer: Peer, where: Topic, records: bytes | None, *, version: int = 9, **how: Any) -> Any:
    return peer.ask("produce", version, **produced(where.name, (0, records), **how))


def new_producer(peer: Peer) -> int:
    """A producer id of the broker's own."""
    answer = peer.quietly(
        "init_producer_id",
        4,
        transactional_id=None,
        transaction_timeout_ms=1000,
        producer_id=-1,
        producer_epoch=-1,
    )
    return int(answer.producer_id)


BAD = {
    "a_wrong_crc": batch(b"v", crc_off_by=1),
    "magic_0": batch(b"v", magic=0),
    "magic_1": batch(b"v", magic=1),
    "magic_3": batch(b"v", magic=3),
    "a_length_too_long": batch(b"v", length_off_by=1),
    "a_length_too_short": batch(b"v", length_off_by=-1),
    "a_negative_length": batch(b"v", length_off_by=-1000),
    "a_huge_length": batch(b"v", length_off_by=1_000_000_000),
    "no_records": batch(count=0, last_offset_delta=-1),
    "no_records_but_a_delta": batch(count=0, last_offset_delta=0),
    "a_count_too_high": batch(b"v", count=2),
    "a_count_too_low": batch(b"v", b"w", count=1),
    "a_negative_count": batch(b"v", count=-1),
    "a_delta_too_high": batch(b"v", last_offset_delta=5),
    "count_and_delta_too_high": batch(b"v", last_offset_delta=5, count=6),
    "a_base_offset_of_7": batch(b"v", b"w", base_offset=7),
    "a_negative_base_offset": batch(b"v", base_offset=-1),
    "two_batches": batch(b"v") + batch(b"w"),
    "garbage": b"\x07" * 100,
    "half_a_header": batch(b"v")[:30],
    "a_cut_batch": batch(b"value")[:-2],
    "a_trailing_byte": batch(b"v") + b"\x00",
    "nothing": b"",
    "null": None,
    "an_unknown_codec": batch(b"v", attributes=5),
    "codec_7": batch(b"v", attributes=7),
    "gzip_that_is_none": batch(b"v", attributes=1),
    "a_transaction": batch(b"v", attributes=0x10),
    "a_control_batch": batch(b"v", attributes=0x20),
    "unused_attributes": batch(b"v", attributes=0x80),
    "log_append_time": batch(b"v", attributes=0x08),
    "a_delete_horizon": batch(b"v", attributes=0x40),
    "a_far_future": batch(b"v", timestamp_ms=YEAR_3000_MS),
    "no_timestamp": batch(b"v", timestamp_ms=-1),
    "a_negative_timestamp": batch(b"v", timestamp_ms=-5),
    "a_max_timestamp_too_low": batch(b"v", b"w", max_timestamp_ms=T0_MS),
    "a_max_timestamp_too_high": batch(b"v", max_timestamp_ms=T0_MS + 50),
    "a_sequence_without_producer": batch(b"v", base_sequence=3),
    "a_producer_without_sequence": batch(b"v", producer_id=10**12, producer_epoch=0),
    "a_producer_without_epoch": batch(b"v", producer_id=10**12, base_sequence=0),
    "negative_sequence": batch(b"v", producer_id=10**12, producer_epoch=0, base_sequence=-5),
    "gzip": batch(b"v" * 100, gzipped=True),
    "a_null_value": batch(None),
}
"""Batches by what is wrong, or merely odd, with them."""


def _sends(records: bytes | None) -> Any:
    def play(peer: Peer) -> None:
        where = topic(peer)
        send(peer, where, records)
        send(peer, where, batch(b"after"))
        peer.ask("fetch", 12, **fetched(where, (0, 0)))

    return play


for _name, _records in BAD.items():
    _play = _sends(_records)
    _play.__name__, _play.__module__ = _name, __name__
    sequence(_play)


@sequence
def unknown_topics_and_partitions(peer: Peer) -> None:
    where = topic(peer)
    for version in (9, 12):
        peer.ask("produce", version, **produced(peer.name("none"), (0, batch(b"v"))))
        peer.ask("produce", version, **produced(where.name, (7, batch(b"v"))))
        peer.ask("produce", version, **produced(where.name, (-1, batch(b"v"))))
        peer.ask("produce", version, **produced(where.name, (0, batch(b"v")), (7, batch(b"v"))))


@sequence
def one_partition_twice(peer: Peer) -> None:
    where = topic(peer)
    peer.ask("produce", 9, **produced(where.name, (0, batch(b"v")), (0, batch(b"w"))))
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def no_topics_at_all(peer: Peer) -> None:
    fields = {"transactional_id": None, "acks": -1, "timeout_ms": 100, "topic_data": []}
    peer.ask("produce", 9, **fields)
    where = topic(peer)
    peer.ask("produce", 9, **produced(where.name))


@sequence
def acks_of_every_kind(peer: Peer) -> None:
    where = topic(peer)
    for acks in (1, -1, 2, -2, 100):
        send(peer, where, batch(b"v"), acks=acks)
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def acks_0_has_no_answer(peer: Peer) -> None:
    where = topic(peer)
    connection = peer.connection()
    connection.send("produce", 9, produced(where.name, (0, batch(b"v")), acks=0))
    peer.ask("api_versions", 0)
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def acks_0_to_nowhere_closes(peer: Peer) -> None:
    connection = peer.connection()
    connection.send("produce", 9, produced(peer.name("none"), (0, batch(b"v")), acks=0))
    peer.ask("api_versions", 0)


@sequence
def acks_0_with_a_bad_batch_closes(peer: Peer) -> None:
    where = topic(peer)
    peer.connection().send("produce", 9, produced(where.name, (0, batch(b"v", magic=9)), acks=0))
    peer.ask("api_versions", 0)
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def a_transactional_id(peer: Peer) -> None:
    where = topic(peer)
    fields = produced(where.name, (0, batch(b"v"))) | {"transactional_id": "tx"}
    peer.ask("produce", 9, **fields)


@sequence
def too_many_replicas_wanted(peer: Peer) -> None:
    where = topic(peer, configs={"min.insync.replicas": "2", "retention.ms": "-1"})
    for acks in (-1, 1):
        send(peer, where, batch(b"v"), acks=acks)


@sequence
def too_large(peer: Peer) -> None:
    where = topic(peer, configs={"max.message.bytes": "200", "retention.ms": "-1"})
    for size in (10, 100, 129, 130, 131, 132, 133, 200, 300):
        send(peer, where, batch(b"v" * size))
    send(peer, where, batch(b"v" * 1000, gzipped=True))
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def larger_than_a_segment(peer: Peer) -> None:
    configs = {"segment.bytes": "1048576", "max.message.bytes": "2000000", "retention.ms": "-1"}
    where = topic(peer, configs=configs)
    send(peer, where, batch(b"v" * 1_100_000))
    send(peer, where, batch(b"v" * 500_000))


@sequence
def compacted_topics_want_keys(peer: Peer) -> None:
    where = topic(peer, configs={"cleanup.policy": "compact"})
    send(peer, where, batch(b"v"))
    send(peer, where, batch(b"v", keys=[b"k"]))
    send(peer, where, batch(b"v", b"w", b"x", keys=[b"k", None, b"l"]))
    send(peer, where, batch(b"v", b"w", keys=[b"k", None], gzipped=True))
    send(peer, where, batch(None, keys=[b"k"]))
    send(peer, where, batch(b"v", keys=[b""]))
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def log_append_time_is_the_brokers(peer: Peer) -> None:
    where = topic(peer, configs={"message.timestamp.type": "LogAppendTime"})
    send(peer, where, batch(b"v", b"w"))
    send(peer, where, batch(b"v", timestamp_ms=YEAR_3000_MS))
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def timestamps_out_of_bounds(peer: Peer) -> None:
    where = topic(
        peer, configs={"message.timestamp.before.max.ms": str(HOUR_MS), "retention.ms": "-1"}
    )
    send(peer, where, batch(b"v"))
    send(peer, where, batch(b"v", b"w", step_ms=10))
    wide = topic(peer, "wide", configs={"message.timestamp.after.max.ms": str(10**14)} | {})
    send(peer, wide, batch(b"v", timestamp_ms=YEAR_3000_MS))


@sequence
def recompressed_to_gzip(peer: Peer) -> None:
    where = topic(peer, configs={"compression.type": "uncompressed", "retention.ms": "-1"})
    send(peer, where, batch(b"v", b"w", gzipped=True))
    send(peer, where, batch(b"v", b"w"))
    send(peer, where, batch(b"v", attributes=1))
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def an_idempotent_producer(peer: Peer) -> None:
    where = topic(peer)
    who = new_producer(peer)

    def say(sequence_number: int, *values: bytes, epoch: int = 0) -> Any:
        fields = {"producer_id": who, "producer_epoch": epoch, "base_sequence": sequence_number}
        return send(peer, where, batch(*values, **fields))

    say(0, b"a", b"b")
    say(2, b"c")
    say(0, b"a", b"b")
    say(2, b"c")
    say(5, b"gap")
    say(1, b"overlap", b"overlap")
    for number in range(3, 9):
        say(number, b"d")
    say(0, b"a", b"b")
    say(4, b"d")
    say(3, b"d")
    say(9, b"e", epoch=1)
    say(0, b"e", epoch=1)
    say(1, b"f", epoch=0)
    say(5, b"f", epoch=3)
    peer.ask("fetch", 12, **fetched(where, (0, 0)))


@sequence
def an_unknown_producer(peer: Peer) -> None:
    where = topic(peer)
    for number in (5, 6, 7, 9, 0):
        fields = {"producer_id": 10**12 + 1, "producer_epoch": 4, "base_sequence": number}
        send(peer, where, batch(b"v", **fields))


@sequence
def a_sequence_that_wraps(peer: Peer) -> None:
    where = topic(peer)
    top = 2**31 - 1
    for number, values in ((top - 1, 2), (0, 1), (top, 1), (1, 1), (top - 1, 2), (0, 1)):
        fields = {"producer_id": 10**12 + 2, "producer_epoch": 0, "base_sequence": number}
        send(peer, where, batch(*[b"v"] * values, **fields))


@sequence
def a_sequence_that_wraps_inside(peer: Peer) -> None:
    where = topic(peer)
    top = 2**31 - 1
    for number, values in ((top - 2, 5), (2, 1), (3, 1), (top - 2, 5)):
        fields = {"producer_id": 10**12 + 3, "producer_epoch": 0, "base_sequence": number}
        send(peer, where, batch(*[b"v"] * values, **fields))


@sequence
def two_producers_in_one_partition(peer: Peer) -> None:
    where = topic(peer)
    for number in range(3):
        for who in (10**12 + 4, 10**12 + 5):
            fields = {"producer_id": who, "producer_epoch": 0, "base_sequence": number}
            send(peer, where, batch(b"v", **fields))
    asked = [{"name": where.name, "partition_indexes": [0, 3]}]
    peer.ask("describe_producers", 0, topics=asked)
    asked = [{"name": peer.name("none"), "partition_indexes": [0]}]
    peer.ask("describe_producers", 0, topics=asked)


@sequence
def producer_ids(peer: Peer) -> None:
    def ask(version: int = 4, producer_id: int = -1, epoch: int = -1, timeout: int = 1) -> None:
        peer.ask(
            "init_producer_id",
            version,
            transactional_id=None,
            transaction_timeout_ms=timeout,
            producer_id=producer_id,
            producer_epoch=epoch,
        )

    ask()
    ask()
    ask(timeout=-1)
    ask(timeout=2**31 - 1)
    ask(producer_id=5, epoch=3)
    ask(producer_id=5)
    ask(epoch=3)
    ask(2)
    ask(0)


@sequence
def deleted_records_keep_the_producer(peer: Peer) -> None:
    where = topic(peer)
    who = new_producer(peer)
    for number in range(3):
        fields = {"producer_id": who, "producer_epoch": 0, "base_sequence": number}
        send(peer, where, batch(b"v", **fields))
    parts = [{"partition_index": 0, "offset": -1}]
    asked = [{"name": where.name, "partitions": parts}]
    peer.ask("delete_records", 2, topics=asked, timeout_ms=5000)
    for number in (1, 3, 7):
        fields = {"producer_id": who, "producer_epoch": 0, "base_sequence": number}
        send(peer, where, batch(b"v", **fields))
