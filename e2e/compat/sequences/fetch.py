"""Fetch and ListOffsets: bounds, sizes, sessions, epochs, timestamps."""

import uuid
from typing import Any

from e2e.compat.differential.peer import Peer
from e2e.compat.differential.sequence import sequence
from e2e.compat.sequences.batches import T0_MS, batch
from e2e.compat.sequences.setting import Topic, fetched, offset_of, produced, topic


def filled(peer: Peer, suffix: str = "t", partitions: int = 1, batches: int = 5) -> Topic:
    """A topic whose partitions hold so many batches of three records."""
    where = topic(peer, suffix, partitions=partitions)
    for number in range(batches):
        values = [f"{number}-{i}".encode() for i in range(3)]
        records = batch(*values, timestamp_ms=T0_MS + number * 1000)
        parts = [(index, records) for index in range(partitions)]
        peer.quietly("produce", 9, **produced(where.name, *parts))
    return where


def fetch(peer: Peer, where: Topic | str, *parts: tuple[int, int], **how: Any) -> Any:
    version = how.pop("version", 12)
    return peer.ask("fetch", version, **fetched(where, *parts, **how))


@sequence
def offsets_in_and_out_of_range(peer: Peer) -> None:
    where = filled(peer)
    for offset in (0, 1, 2, 3, 14, 15, 16, 1000, -1, -2, 2**62):
        fetch(peer, where, (0, offset))


@sequence
def sizes(peer: Peer) -> None:
    where = filled(peer, partitions=2)
    size = len(batch(b"0-0", b"0-1", b"0-2"))
    for limit in (0, 1, size - 1, size, size * 2, size * 3 - 1, -1):
        fetch(peer, where, (0, 0), (1, 0), partition_max_bytes=limit)
        fetch(peer, where, (0, 0), (1, 0), max_bytes=limit)
    fetch(peer, where, (0, 15), (1, 0), max_bytes=1)
    fetch(peer, where, (0, 15), (1, 0), partition_max_bytes=1)


@sequence
def waiting_for_bytes(peer: Peer) -> None:
    where = filled(peer)
    fetch(peer, where, (0, 15), max_wait_ms=50, min_bytes=1)
    fetch(peer, where, (0, 12), max_wait_ms=50, min_bytes=10_000)
    fetch(peer, where, (0, 99), max_wait_ms=5000, min_bytes=10_000)
    pending = peer.begin("fetch", 12, **fetched(where, (0, 15), max_wait_ms=9000, min_bytes=1))
    peer.ask("produce", 9, on="other", **produced(where.name, (0, batch(b"new"))))
    pending.answer()


@sequence
def waiting_with_nothing_to_fetch(peer: Peer) -> None:
    fetch(peer, "none", max_wait_ms=50, min_bytes=1)
    where = topic(peer)
    fetch(peer, where, (0, 0), max_wait_ms=0, min_bytes=1)
    fetch(peer, where, (0, 0), max_wait_ms=-1, min_bytes=-1)


@sequence
def unknown_topics_and_partitions(peer: Peer) -> None:
    where = filled(peer)
    ghost = Topic(peer.name("none"), uuid.UUID(int=4711))
    for version in (4, 12, 13, 18):
        fetch(peer, ghost, (0, 0), version=version)
        fetch(peer, where, (9, 0), (0, 0), version=version)
        fetch(peer, where, (-1, 0), version=version)


@sequence
def one_partition_twice(peer: Peer) -> None:
    where = filled(peer)
    fetch(peer, where, (0, 0), (0, 12))


@sequence
def leader_epochs(peer: Peer) -> None:
    where = filled(peer)
    for epoch in (-1, 0, 1, 7, -2):
        fetch(peer, where, (0, 3), epoch=epoch)
        parts = [offset_of(0, -1, epoch)]
        topics = [{"name": where.name, "partitions": parts}]
        peer.ask("list_offsets", 7, replica_id=-1, isolation_level=0, topics=topics)
        for asked in (-1, 0, 1):
            one = {"partition": 0, "current_leader_epoch": epoch, "leader_epoch": asked}
            topics = [{"topic": where.name, "partitions": [one]}]
            peer.ask("offset_for_leader_epoch", 4, replica_id=-1, topics=topics)


@sequence
def epochs_of_nowhere(peer: Peer) -> None:
    one = {"partition": 0, "current_leader_epoch": -1, "leader_epoch": 0}
    topics = [{"topic": peer.name("none"), "partitions": [one]}]
    for replica in (-1, -2, 1):
        peer.ask("offset_for_leader_epoch", 4, replica_id=replica, topics=topics)
    peer.ask("offset_for_leader_epoch", 4, replica_id=-1, topics=[])


@sequence
def a_last_fetched_epoch(peer: Peer) -> None:
    where = filled(peer)
    for epoch in (0, 1, 5):
        fields = fetched(where, (0, 3), epoch=0)
        fields["topics"][0]["partitions"][0]["last_fetched_epoch"] = epoch
        peer.ask("fetch", 12, **fields)


@sequence
def isolation_levels(peer: Peer) -> None:
    where = filled(peer)
    for level in (0, 1, 2):
        fetch(peer, where, (0, 3), isolation_level=level)
        topics = [{"name": where.name, "partitions": [offset_of(0, -1)]}]
        peer.ask("list_offsets", 7, replica_id=-1, isolation_level=level, topics=topics)


@sequence
def deleted_while_fetching(peer: Peer) -> None:
    where = filled(peer)
    pending = peer.begin("fetch", 12, **fetched(where, (0, 15), max_wait_ms=9000, min_bytes=1))
    peer.ask("delete_topics", 5, on="other", topic_names=[where.name], timeout_ms=5000)
    pending.answer()


@sequence
def a_session(peer: Peer) -> None:
    where = filled(peer, partitions=3)
    made = fetch(peer, where, (0, 0), (1, 15), (2, 15), session_epoch=0)
    if made is None:
        return
    which = made.session_id
    fetch(peer, where, session_id=which, session_epoch=1)
    fetch(peer, where, (0, 15), session_id=which, session_epoch=2)
    fetch(peer, where, session_id=which, session_epoch=3)
    peer.quietly("produce", 9, on="other", **produced(where.name, (2, batch(b"new"))))
    fetch(peer, where, session_id=which, session_epoch=4)
    forgotten = [{"topic": where.name, "topic_id": where.id, "partitions": [2, 7]}]
    fetch(peer, where, session_id=which, session_epoch=5, forgotten=forgotten)
    fetch(peer, where, session_id=which, session_epoch=5)
    fetch(peer, where, session_id=which, session_epoch=9)
    fetch(peer, where, session_id=which, session_epoch=6)
    fetch(peer, where, session_id=which + 1, session_epoch=1)
    fetch(peer, where, (0, 0), session_id=which, session_epoch=-1)
    fetch(peer, where, session_id=which, session_epoch=7)


@sequence
def a_session_started_anew(peer: Peer) -> None:
    where = filled(peer)
    made = fetch(peer, where, (0, 0), session_epoch=0)
    if made is None:
        return
    fetch(peer, where, (0, 12), session_id=made.session_id, session_epoch=0)
    fetch(peer, where, session_id=made.session_id, session_epoch=1)
    fetch(peer, where, session_id=5, session_epoch=-1)
    fetch(peer, where, session_id=0, session_epoch=3)
    fetch(peer, where, session_id=0, session_epoch=-7)


@sequence
def a_session_with_ids(peer: Peer) -> None:
    where = filled(peer, partitions=2)
    made = fetch(peer, where, (0, 0), (1, 0), session_epoch=0, version=17)
    if made is None:
        return
    which = made.session_id
    fetch(peer, where, (0, 15), session_id=which, session_epoch=1, version=17)
    ghost = Topic("", uuid.UUID(int=4711))
    fetch(peer, ghost, (0, 0), session_id=which, session_epoch=2, version=17)
    fetch(peer, where, session_id=which, session_epoch=3, version=17)
    fetch(peer, where, (0, 0), session_id=which, session_epoch=4, version=12)


@sequence
def a_session_with_an_error_in_it(peer: Peer) -> None:
    where = filled(peer)
    made = fetch(peer, where, (0, 99), (5, 0), session_epoch=0)
    if made is None:
        return
    which = made.session_id
    fetch(peer, where, session_id=which, session_epoch=1)
    fetch(peer, where, (0, 3), session_id=which, session_epoch=2)
    fetch(peer, where, session_id=which, session_epoch=3)


@sequence
def a_session_whose_topic_goes(peer: Peer) -> None:
    where = filled(peer)
    made = fetch(peer, where, (0, 15), session_epoch=0)
    if made is None:
        return
    peer.quietly("delete_topics", 5, on="other", topic_names=[where.name], timeout_ms=5000)
    peer.until(
        lambda a: bool(a.responses and a.responses[0].partitions[0].error_code),
        "fetch",
        12,
        **fetched(where, (0, 15)),
    )
    fetch(peer, where, session_id=made.session_id, session_epoch=1)


@sequence
def offsets_by_timestamp(peer: Peer) -> None:
    where = filled(peer)
    stamps = (T0_MS - 1, T0_MS, T0_MS + 1, T0_MS + 2, T0_MS + 3, T0_MS + 3001, T0_MS + 9999)
    for timestamp in (*stamps, 0, -1, -2, -3, -4, -5, -6, -7):
        for version in (1, 7, 9, 11):
            topics = [{"name": where.name, "partitions": [offset_of(0, timestamp)]}]
            peer.ask("list_offsets", version, **listing(topics))


@sequence
def offsets_of_an_empty_partition(peer: Peer) -> None:
    where = topic(peer)
    for timestamp in (0, T0_MS, -1, -2, -3, -4, -5):
        topics = [{"name": where.name, "partitions": [offset_of(0, timestamp)]}]
        peer.ask("list_offsets", 9, **listing(topics))


@sequence
def offsets_after_deletion(peer: Peer) -> None:
    where = filled(peer)
    parts = [{"partition_index": 0, "offset": 7}]
    asked = [{"name": where.name, "partitions": parts}]
    peer.ask("delete_records", 2, topics=asked, timeout_ms=5000)
    for timestamp in (0, T0_MS, T0_MS + 2000, -1, -2, -3):
        topics = [{"name": where.name, "partitions": [offset_of(0, timestamp)]}]
        peer.ask("list_offsets", 7, **listing(topics))


@sequence
def timestamps_that_go_back(peer: Peer) -> None:
    where = topic(peer)
    for stamp in (T0_MS + 500, T0_MS, T0_MS + 900, T0_MS + 900, T0_MS + 100):
        records = batch(b"v", b"w", b"x", timestamp_ms=stamp, step_ms=-1, max_timestamp_ms=stamp)
        peer.quietly("produce", 9, **produced(where.name, (0, records)))
    for timestamp in (0, T0_MS + 499, T0_MS + 500, T0_MS + 501, T0_MS + 900, T0_MS + 901, -3):
        topics = [{"name": where.name, "partitions": [offset_of(0, timestamp)]}]
        peer.ask("list_offsets", 7, **listing(topics))


@sequence
def the_top_timestamp_in_compressed_batches(peer: Peer) -> None:
    where = topic(peer)
    for stamp in (T0_MS, T0_MS + 500, T0_MS + 100):
        records = batch(b"v", b"w", b"x", timestamp_ms=stamp, gzipped=True)
        peer.quietly("produce", 9, **produced(where.name, (0, records)))
    for timestamp in (T0_MS + 1, T0_MS + 501, -3):
        topics = [{"name": where.name, "partitions": [offset_of(0, timestamp)]}]
        peer.ask("list_offsets", 7, **listing(topics))


@sequence
def offsets_of_nowhere(peer: Peer) -> None:
    where = topic(peer)
    for name, index in ((peer.name("none"), 0), (where.name, 9), (where.name, -1), ("bad name", 0)):
        for version in (1, 4, 10):
            topics = [{"name": name, "partitions": [offset_of(index, -1)]}]
            peer.ask("list_offsets", version, **listing(topics))
    twice = [{"name": where.name, "partitions": [offset_of(0, -1), offset_of(0, -2)]}]
    peer.ask("list_offsets", 7, **listing(twice))
    peer.ask("list_offsets", 7, **listing([]))


def listing(topics: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a ListOffsets request of an ordinary consumer."""
    return {"replica_id": -1, "isolation_level": 0, "topics": topics, "timeout_ms": 1000}
