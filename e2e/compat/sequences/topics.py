"""Creating, growing, emptying and deleting topics, and what Metadata then says."""

import uuid
from typing import Any

from e2e.compat.differential.peer import Peer
from e2e.compat.differential.sequence import sequence
from e2e.compat.sequences.batches import batch
from e2e.compat.sequences.setting import (
    asked_about,
    await_no_topic,
    await_topic,
    fetched,
    new_topic,
    produced,
    topic,
)

BAD_NAMES = ("", ".", "..", "a b", "a/b", "a,b", "ü", "x" * 250, "x" * 249, "a\n", "a:b")


def create(peer: Peer, *topics: dict[str, Any], validate_only: bool = False) -> Any:
    return peer.ask(
        "create_topics", 7, topics=list(topics), timeout_ms=9000, validate_only=validate_only
    )


def delete(peer: Peer, *names: str, version: int = 5) -> Any:
    return peer.ask("delete_topics", version, topic_names=list(names), timeout_ms=9000)


@sequence
def names_that_are_refused(peer: Peer) -> None:
    for name in BAD_NAMES:
        create(peer, new_topic(name if name != "x" * 249 else peer.name("x" * 230)))


@sequence
def names_that_collide_in_metrics(peer: Peer) -> None:
    create(peer, new_topic(peer.name("a.b")))
    create(peer, new_topic(peer.name("a_b")))
    create(peer, new_topic(peer.name("c.d")), new_topic(peer.name("c_d")))


@sequence
def counts_that_are_refused(peer: Peer) -> None:
    for count, factor in ((0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 3), (-1, -1), (-1, 1)):
        create(peer, new_topic(peer.name(f"t{count}{factor}"), count, replication_factor=factor))


@sequence
def the_same_name_twice_in_one_request(peer: Peer) -> None:
    create(peer, new_topic(peer.name("t")), new_topic(peer.name("t")), new_topic(peer.name("u")))
    create(peer, new_topic(peer.name("u")))


@sequence
def validate_only_makes_nothing(peer: Peer) -> None:
    create(peer, new_topic(peer.name("t"), 3), validate_only=True)
    peer.ask("metadata", 12, **asked_about(peer.name("t")))
    where = topic(peer, "there")
    create(peer, new_topic(where.name), validate_only=True)
    create(peer, new_topic(peer.name("t"), 0), validate_only=True)


@sequence
def manual_assignments(peer: Peer) -> None:
    def with_assignments(suffix: str, *brokers: list[int], first: int = 0, **fields: Any) -> None:
        given = [{"partition_index": first + i, "broker_ids": b} for i, b in enumerate(brokers)]
        plain = {"num_partitions": -1, "replication_factor": -1}
        create(peer, new_topic(peer.name(suffix), assignments=given, **(plain | fields)))

    with_assignments("good", [1], [1])
    with_assignments("unknown-broker", [7])
    with_assignments("twice", [1, 1])
    with_assignments("none", [])
    with_assignments("gap", [1], first=3)
    with_assignments("uneven", [1], [1, 2])
    with_assignments("count-too", [1], num_partitions=1)
    with_assignments("factor-too", [1], replication_factor=1)


@sequence
def configs_at_creation(peer: Peer) -> None:
    for name, value in (
        ("retention.ms", "1000"),
        ("retention.ms", "-2"),
        ("retention.ms", "soon"),
        ("retention.ms", None),
        ("cleanup.policy", "compact,delete"),
        ("cleanup.policy", "shred"),
        ("no.such.key", "1"),
        ("segment.bytes", "0"),
        ("segment.bytes", "1048576"),
        ("min.insync.replicas", "0"),
        ("compression.type", "brotli"),
        ("max.message.bytes", "99999999999"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("message.timestamp.type", "Whenever"),
        ("preallocate", "perhaps"),
    ):
        create(peer, new_topic(peer.name(f"{name}-{value}"), configs={name: value}))


@sequence
def delete_and_create_again(peer: Peer) -> None:
    first = topic(peer)
    peer.quietly("produce", 9, **produced(first.name, (0, batch(b"old"))))
    delete(peer, first.name)
    await_no_topic(peer, first.name)
    second = topic(peer)
    peer.note("the id is another", first.id != second.id)
    peer.ask("fetch", 12, **fetched(second, (0, 0)))
    peer.ask("fetch", 17, **fetched(first, (0, 0)))
    peer.ask("metadata", 12, **(asked_about() | {"topics": [{"topic_id": first.id, "name": None}]}))


@sequence
def delete_what_is_not_there(peer: Peer) -> None:
    where = topic(peer)
    delete(peer, peer.name("none"))
    delete(peer, where.name, peer.name("none"), where.name)
    delete(peer)


@sequence
def delete_by_id(peer: Peer) -> None:
    where = topic(peer)
    ghost = uuid.UUID(int=4711)
    for topics in (
        [{"name": None, "topic_id": ghost}],
        [{"name": where.name, "topic_id": where.id}],
        [{"name": None, "topic_id": where.id}, {"name": where.name, "topic_id": None}],
        [{"name": None, "topic_id": None}],
        [{"name": None, "topic_id": where.id}],
    ):
        peer.ask("delete_topics", 6, topics=topics, timeout_ms=9000)


@sequence
def partitions_grow_and_never_shrink(peer: Peer) -> None:
    where = topic(peer, partitions=2)

    def grow(count: int, name: str = where.name, **fields: Any) -> None:
        asked = {"name": name, "count": count, "assignments": None}
        rest = {"timeout_ms": 9000, "validate_only": False}
        peer.ask("create_partitions", 3, topics=[asked | fields], **rest)

    for count in (2, 1, 0, -1):
        grow(count)
    grow(3, peer.name("none"))
    grow(3, assignments=[{"broker_ids": [7]}])
    grow(4, assignments=[{"broker_ids": [1]}])
    grow(4, assignments=[{"broker_ids": [1]}, {"broker_ids": [1]}])
    await_topic(peer, where.name, 4)
    peer.ask("metadata", 12, **asked_about(where.name))


@sequence
def partitions_of_one_topic_twice(peer: Peer) -> None:
    where = topic(peer)
    asked = [{"name": where.name, "count": n, "assignments": None} for n in (2, 3)]
    peer.ask("create_partitions", 3, topics=asked, timeout_ms=9000, validate_only=False)
    asked = [{"name": where.name, "count": 5, "assignments": None}]
    peer.ask("create_partitions", 3, topics=asked, timeout_ms=9000, validate_only=True)
    peer.ask("metadata", 12, **asked_about(where.name))


@sequence
def auto_creation_on_metadata(peer: Peer) -> None:
    name = peer.name("auto")
    peer.ask("metadata", 12, **asked_about(name))
    peer.ask("metadata", 12, **asked_about(name, auto_create=True))
    await_topic(peer, name, 1)
    peer.ask("metadata", 12, **asked_about(name))
    peer.ask("metadata", 12, **asked_about("bad name", auto_create=True))
    peer.ask("metadata", 3, **asked_about(peer.name("old")))


@sequence
def metadata_by_id(peer: Peer) -> None:
    where = topic(peer)
    ghost = uuid.UUID(int=4711)
    base = asked_about()
    for version in (12, 13):
        for topics in (
            [{"topic_id": where.id, "name": None}],
            [{"topic_id": ghost, "name": None}],
            [{"topic_id": where.id, "name": None}, {"topic_id": ghost, "name": None}],
            [],
        ):
            peer.ask("metadata", version, **(base | {"topics": topics}))


@sequence
def metadata_by_id_and_name_together(peer: Peer) -> None:
    where = topic(peer)
    both = [{"topic_id": where.id, "name": where.name}]
    peer.ask("metadata", 12, **(asked_about() | {"topics": both}))


@sequence
def metadata_with_null_name_and_no_id(peer: Peer) -> None:
    nothing = [{"topic_id": uuid.UUID(int=0), "name": None}]
    peer.ask("metadata", 12, **(asked_about() | {"topics": nothing}))


@sequence
def metadata_of_bad_names(peer: Peer) -> None:
    for name in BAD_NAMES:
        peer.ask("metadata", 11, **asked_about(name))


@sequence
def delete_records_moves_the_start(peer: Peer) -> None:
    where = topic(peer, partitions=2)
    peer.quietly("produce", 9, **produced(where.name, (0, batch(*[b"v"] * 10))))

    def delete_to(partition: int, offset: int) -> None:
        parts = [{"partition_index": partition, "offset": offset}]
        asked = [{"name": where.name, "partitions": parts}]
        peer.ask("delete_records", 2, topics=asked, timeout_ms=5000)

    for offset in (4, 2, 0, -2, 11, 100, -1):
        delete_to(0, offset)
    delete_to(1, 0)
    delete_to(1, 1)
    delete_to(5, 0)
    peer.ask("fetch", 12, **fetched(where, (0, 0), (1, 0)))
    peer.ask("fetch", 12, **fetched(where, (0, 10)))


@sequence
def delete_records_within_a_batch(peer: Peer) -> None:
    where = topic(peer)
    peer.quietly("produce", 9, **produced(where.name, (0, batch(*[b"v"] * 5))))
    parts = [{"partition_index": 0, "offset": 3}]
    asked = [{"name": where.name, "partitions": parts}]
    peer.ask("delete_records", 2, topics=asked, timeout_ms=5000)
    for offset in (2, 3, 4, 5):
        peer.ask("fetch", 12, **fetched(where, (0, offset)))


@sequence
def describe_topic_partitions_in_pages(peer: Peer) -> None:
    names = [topic(peer, f"t{i}", partitions=3).name for i in range(3)]

    def describe(limit: int, cursor: dict[str, Any] | None, *asked: str) -> Any:
        topics = [{"name": name} for name in asked]
        fields = {"response_partition_limit": limit, "cursor": cursor}
        return peer.ask("describe_topic_partitions", 0, topics=topics, **fields)

    cursor: dict[str, Any] | None = None
    for _ in range(4):
        answer = describe(4, cursor, *names)
        if answer is None or answer.next_cursor is None:
            break
        found = answer.next_cursor
        cursor = {"topic_name": found.topic_name, "partition_index": found.partition_index}
    describe(0, None, *names)
    describe(2, {"topic_name": names[1], "partition_index": 1}, *names)
    describe(5, {"topic_name": peer.name("t1x"), "partition_index": 0}, *names)
    describe(5, {"topic_name": names[0], "partition_index": -1}, *names)
    describe(100, None, *reversed(names), peer.name("none"), "bad name")


@sequence
def elections_with_nothing_to_elect(peer: Peer) -> None:
    where = topic(peer, partitions=2)

    def elect(kind: int, *parts: int, name: str = where.name) -> None:
        asked = [{"topic": name, "partitions": list(parts)}]
        peer.ask("elect_leaders", 2, election_type=kind, topic_partitions=asked, timeout_ms=5000)

    elect(0, 0, 1)
    elect(1, 0, 1)
    elect(0, 7)
    elect(0, 0, name=peer.name("none"))
    elect(9, 0)
    elect(0)


@sequence
def reassignments_with_nowhere_to_go(peer: Peer) -> None:
    where = topic(peer, partitions=2)

    def move(replicas: list[int] | None, partition: int = 0, name: str = where.name) -> None:
        parts = [{"partition_index": partition, "replicas": replicas}]
        asked = [{"name": name, "partitions": parts}]
        rest = {"timeout_ms": 5000, "allow_replication_factor_change": True}
        peer.ask("alter_partition_reassignments", 1, topics=asked, **rest)

    for replicas in ([1], [2], [1, 2], [1, 1], [], [-1], None):
        move(replicas)
    move([1], 9)
    move([1], name=peer.name("none"))
    peer.ask("list_partition_reassignments", 0, timeout_ms=5000, topics=None)
    asked = [{"name": where.name, "partition_indexes": [0, 9]}]
    peer.ask("list_partition_reassignments", 0, timeout_ms=5000, topics=asked)
    peer.ask("list_partition_reassignments", 0, timeout_ms=5000, topics=[])


@sequence
def reassignments_that_keep_the_factor(peer: Peer) -> None:
    where = topic(peer)
    parts = [{"partition_index": 0, "replicas": [1]}]
    asked = [{"name": where.name, "partitions": parts}]
    for allow in (True, False):
        rest = {"timeout_ms": 5000, "allow_replication_factor_change": allow}
        peer.ask("alter_partition_reassignments", 1, topics=asked, **rest)


@sequence
def log_dirs(peer: Peer) -> None:
    where = topic(peer, partitions=2)
    for asked in (
        [{"topic": where.name, "partitions": [0]}],
        [{"topic": where.name, "partitions": [0, 9]}],
        [{"topic": peer.name("none"), "partitions": [0]}],
        [],
    ):
        peer.ask("describe_log_dirs", 4, topics=asked)
    moved = [{"name": where.name, "partitions": [0, 9]}, {"name": "none", "partitions": [0]}]
    for path in ("/no/such/dir", "relative", ""):
        peer.ask("alter_replica_log_dirs", 2, dirs=[{"path": path, "topics": moved}])
    peer.ask("alter_replica_log_dirs", 2, dirs=[])


@sequence
def cluster_and_quorum(peer: Peer) -> None:
    for kind in (1, 2, 0, 3):
        peer.ask(
            "describe_cluster",
            2,
            include_cluster_authorized_operations=False,
            endpoint_type=kind,
            include_fenced_brokers=True,
        )
    for name, index in (("__cluster_metadata", 0), ("__cluster_metadata", 1), ("other", 0)):
        asked = [{"topic_name": name, "partitions": [{"partition_index": index}]}]
        peer.ask("describe_quorum", 2, topics=asked)
    peer.ask("describe_quorum", 2, topics=[])


@sequence
def features(peer: Peer) -> None:
    def update(name: str, level: int, kind: int = 1, validate_only: bool = True) -> None:
        one = {"feature": name, "max_version_level": level, "upgrade_type": kind}
        fields = {"timeout_ms": 5000, "validate_only": validate_only}
        peer.ask("update_features", 2, feature_updates=[one], **fields)

    update("no.such.feature", 1)
    update("no.such.feature", 0)
    update("metadata.version", 10_000)
    update("metadata.version", -1)
    update("metadata.version", 1, kind=9)
    update("", 1)
    peer.ask("update_features", 2, feature_updates=[], timeout_ms=5000, validate_only=False)


@sequence
def software_names_in_api_versions(peer: Peer) -> None:
    for name, version in (("ok", "1.0"), ("", "1"), ("bad name", "1"), ("ok", "-"), ("a.b-c", "1")):
        fields = {"client_software_name": name, "client_software_version": version}
        peer.ask("api_versions", 3, **fields)
