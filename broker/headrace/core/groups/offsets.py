"""Committed offsets: the store, and what commits, fetches, deletions and expiry read of it.

`put` and `remove` are for replay alone. Everything else only reads and returns records.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from headrace.base.errors import Code
from headrace.config.broker import BrokerSettings
from headrace.core.coordinator import Now, Record
from headrace.core.groups import records
from headrace.core.groups.group import ClassicGroup, GroupState
from headrace.core.groups.requests import Commit
from headrace.wire.offsets_topic import OffsetValue

NO_TOPIC_ID: Final = UUID(int=0)
NO_OFFSET: Final = -1
NO_LEADER_EPOCH: Final = -1
NO_EXPIRY: Final = -1

Fields = Mapping[str, Any]


class CommitTopic(NamedTuple):
    """A topic that exists; partitions are (index, offset, leader epoch or -1, metadata)."""

    name: str
    topic_id: UUID
    partitions: Sequence[tuple[int, int, int, str | None]]


class FetchTopic(NamedTuple):
    """A topic whose offsets are asked for; `topic_id` is zero before v10."""

    name: str
    topic_id: UUID
    partitions: Sequence[int]


class Offsets:
    """Mutable: replay changes it. By group, topic and partition."""

    __slots__ = ("_by_group",)

    def __init__(self) -> None:
        self._by_group: dict[str, dict[str, dict[int, OffsetValue]]] = {}

    def put(self, group_id: str, topic: str, partition: int, value: OffsetValue) -> None:
        """Replay a commit."""
        topics = self._by_group.get(group_id)
        if topics is None:
            topics = self._by_group[group_id] = {}
        partitions = topics.get(topic)
        if partitions is None:
            partitions = topics[topic] = {}
        partitions[partition] = value

    def remove(self, group_id: str, topic: str, partition: int) -> None:
        """Replay a tombstone; absent is fine."""
        topics = self._by_group.get(group_id)
        partitions = None if topics is None else topics.get(topic)
        if topics is None or partitions is None:
            return
        partitions.pop(partition, None)
        if not partitions:
            del topics[topic]
        if not topics:
            del self._by_group[group_id]

    def get(self, group_id: str, topic: str, partition: int) -> OffsetValue | None:
        """One committed offset."""
        return self._by_group.get(group_id, {}).get(topic, {}).get(partition)

    def of_group(self, group_id: str) -> Mapping[str, Mapping[int, OffsetValue]]:
        """All of a group's, by topic and partition."""
        return self._by_group.get(group_id, {})

    def __iter__(self) -> Iterator[tuple[str, str, int, OffsetValue]]:
        for group_id, topics in self._by_group.items():
            for topic, partitions in topics.items():
                for partition, value in partitions.items():
                    yield group_id, topic, partition, value

    def tombstones(self, group_id: str) -> list[Record]:
        """Records that remove every offset of a group."""
        return [
            records.offset_tombstone(group_id, topic, partition)
            for topic, partitions in self.of_group(group_id).items()
            for partition in partitions
        ]

    def tombstones_of_topics(self, topics: Iterable[str]) -> list[Record]:
        """Records that remove every group's offsets of topics that are gone."""
        gone = tuple(topics)
        return [
            records.offset_tombstone(group_id, topic, partition)
            for group_id, by_topic in self._by_group.items()
            for topic in gone
            for partition in by_topic.get(topic, ())
        ]

    def fetch(self, group_id: str, topics: Sequence[FetchTopic] | None) -> list[Fields]:
        """What an OffsetFetch answers for a group; None asks for all of its topics."""
        kept = self._by_group.get(group_id, {})
        if topics is None:
            return [
                {
                    "name": name,
                    "topic_id": NO_TOPIC_ID,
                    "partitions": [_fetched(index, value) for index, value in partitions.items()],
                }
                for name, partitions in kept.items()
            ]
        answers: list[Fields] = []
        for topic in topics:
            partitions = kept.get(topic.name, {})
            answers.append(
                {
                    "name": topic.name,
                    "topic_id": topic.topic_id,
                    "partitions": [
                        _fetched(index, _of_topic(partitions.get(index), topic.topic_id))
                        for index in topic.partitions
                    ],
                }
            )
        return answers


def _of_topic(value: OffsetValue | None, topic_id: UUID) -> OffsetValue | None:
    """Not an offset of a topic of the same name that was deleted before."""
    if value is None or value.topic_id is None or topic_id == NO_TOPIC_ID:
        return value
    return value if topic_id == value.topic_id else None


def _fetched(index: int, value: OffsetValue | None) -> Fields:
    if value is None:
        return {
            "partition_index": index,
            "committed_offset": NO_OFFSET,
            "committed_leader_epoch": NO_LEADER_EPOCH,
            "metadata": "",
            "error_code": Code.NONE,
        }
    return {
        "partition_index": index,
        "committed_offset": value.offset,
        "committed_leader_epoch": value.leader_epoch,
        "metadata": value.metadata,
        "error_code": Code.NONE,
    }


def refuses_commit(group: ClassicGroup, request: Commit) -> Code | None:
    """Why the sender may not commit for the group, or None."""
    generation_id = request.generation_id
    if generation_id < 0 and group.state is GroupState.EMPTY:
        # A consumer that assigns its partitions itself, or an administrator.
        return None
    if generation_id >= 0 or request.member_id or request.group_instance_id is not None:
        refusal = group.refuses(request.member_id, request.group_instance_id)
        if refusal is not None:
            return refusal
        if generation_id != group.generation_id:
            return Code.ILLEGAL_GENERATION
    else:
        return Code.UNKNOWN_MEMBER_ID
    if group.state is GroupState.COMPLETING_REBALANCE:
        return Code.REBALANCE_IN_PROGRESS
    return None


def commit(
    request: Commit, topics: Sequence[CommitTopic], metadata_max: int, now: Now
) -> tuple[list[Record], list[Fields]]:
    """Records, and what each partition is answered."""
    group_id = request.group_id
    expires = NO_EXPIRY if request.retention_ms < 0 else now.wall_ms + request.retention_ms
    written: list[Record] = []
    answers: list[Fields] = []
    for name, topic_id, partitions in topics:
        results = []
        for index, offset, leader_epoch, metadata in partitions:
            if metadata and _utf16_units(metadata) > metadata_max:
                results.append(
                    {"partition_index": index, "error_code": Code.OFFSET_METADATA_TOO_LARGE}
                )
                continue
            # The record with an expiry (v2-v4 of the request) has no place for the rest.
            value = OffsetValue(
                offset=offset,
                leader_epoch=leader_epoch if expires == NO_EXPIRY else NO_LEADER_EPOCH,
                metadata=metadata or "",
                commit_timestamp_ms=now.wall_ms,
                expire_timestamp_ms=expires,
                topic_id=topic_id if expires == NO_EXPIRY else None,
            )
            written.append(records.offset_commit(group_id, name, index, value))
            results.append({"partition_index": index, "error_code": Code.NONE})
        answers.append({"name": name, "topic_id": topic_id, "partitions": results})
    return written, answers


def _utf16_units(text: str) -> int:
    """The length that Java would count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def expired(
    offsets: Offsets, group: ClassicGroup, settings: BrokerSettings, now: Now
) -> tuple[list[Record], bool]:
    """Tombstones of offsets past their retention, and whether none is left.

    Time runs from when a group became empty; offsets of a topic that a stable group does not
    read, and of consumers outside of groups, from their commit. Other groups' do not expire.
    """
    kept = offsets.of_group(group.group_id)
    if not kept:
        return [], True
    empty_since: int | None = None
    if group.protocol_type is not None:
        if group.state is GroupState.EMPTY:
            empty_since = group.state_since_ms
        elif group.state is not GroupState.STABLE or group.subscribed is None:
            return [], False
    retention_ms = settings.offsets_retention_minutes * 60_000
    gone: list[Record] = []
    all_gone = True
    for topic, partitions in kept.items():
        used = group.subscribes_to(topic)
        for partition, value in partitions.items():
            if not used and _is_expired(value, empty_since, retention_ms, now):
                gone.append(records.offset_tombstone(group.group_id, topic, partition))
            else:
                all_gone = False
    return gone, all_gone


def _is_expired(value: OffsetValue, empty_since: int | None, retention_ms: int, now: Now) -> bool:
    if value.expire_timestamp_ms != NO_EXPIRY:
        return now.wall_ms >= value.expire_timestamp_ms
    base = value.commit_timestamp_ms if empty_since is None else empty_since
    return now.wall_ms - base >= retention_ms
