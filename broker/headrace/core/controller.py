"""What the controller decides about topics: a pure answer to an image and a request.

Nothing is changed here. A decision is the state that should be written, guarded by the revision
that the image carries, or a Refusal with Kafka's code. server/controller.py writes it.
Source: Kafka 4.3's ReplicationControlManager, asked over the wire where it was in doubt.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from headrace.base.errors import Code, Refusal
from headrace.base.image import NO_LEADER, ClusterImage, PartitionState, TopicState
from headrace.config.broker import BrokerSettings
from headrace.config.key import SettingError
from headrace.core.overrides import check_topic_settings
from headrace.core.placement import place

DEFAULT: Final = -1
"""Stands for the broker's default in counts of a request."""
NAME_CHARACTERS_MAX: Final = 249
_FOLDER_CHARACTERS_MAX: Final = 255
_NAME: Final = re.compile(r"[a-zA-Z0-9._-]+")
_RAFT_TOPIC: Final = "__cluster_metadata"
OFFSETS_TOPIC: Final = "__consumer_offsets"

PREFERRED, UNCLEAN = 0, 1
REPLICAS_MAX: Final = 1
"""Nothing copies records between brokers yet: a second replica would stay empty and be lost data
to whoever trusts it."""

Replicas = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopic:
    """One topic of CreateTopics. `assignments` are (partition, replicas) as they were sent."""

    name: str
    partition_count: int = DEFAULT
    replication_factor: int = DEFAULT
    assignments: tuple[tuple[int, Replicas], ...] = ()
    settings: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MorePartitions:
    """One topic of CreatePartitions; `assignments` is None to let the controller place."""

    name: str
    partition_count: int
    assignments: tuple[Replicas, ...] | None = None


def check_topic_name(name: str) -> Refusal | None:
    """Why this can be no topic's name, or None."""
    if name in ("", ".", ".."):
        reason = "it is empty" if not name else f"'{name}' is not allowed"
    elif len(name) > NAME_CHARACTERS_MAX:
        reason = f"it is longer than {NAME_CHARACTERS_MAX} characters"
    elif not _NAME.fullmatch(name):
        reason = f"'{name}' has characters other than ASCII letters, digits, '.', '_' and '-'"
    else:
        return None
    return Refusal(Code.INVALID_TOPIC_EXCEPTION, f"The topic name is invalid: {reason}.")


class Names:
    """Which names new topics may take beside the image's, for one request.

    '.' and '_' are one character in metric names, so names that differ only there collide.
    """

    def __init__(self, image: ClusterImage) -> None:
        self._image = image
        self._unified: dict[str, str] | None = None
        self._taken: dict[str, None] = {}

    def take(self, name: str) -> None:
        """A topic of this name is made by the same request."""
        self._taken[name] = None
        if self._unified is not None:
            self._unified[name.replace(".", "_")] = name

    def refuse(self, name: str) -> Refusal | None:
        """Why no topic of this name may be made, or None."""
        if name == _RAFT_TOPIC:
            return Refusal(Code.INVALID_REQUEST, f"Creation of the topic {name} is prohibited.")
        refusal = check_topic_name(name)
        if refusal is not None:
            return refusal
        if name in self._taken or name in self._image.topics:
            return Refusal(Code.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if "." not in name and "_" not in name:
            return None
        if self._unified is None:
            others = (*self._image.topics, *self._taken)
            self._unified = {other.replace(".", "_"): other for other in others}
        other = self._unified.get(name.replace(".", "_"))
        if other is None:
            return None
        return Refusal(
            Code.INVALID_TOPIC_EXCEPTION, f"Topic '{name}' collides with existing topic: {other}"
        )


def create_topic(
    image: ClusterImage,
    request: NewTopic,
    settings: BrokerSettings,
    *,
    topic_id: UUID,
) -> TopicState | Refusal:
    """The topic as it shall be. The name was checked."""
    overrides = _overrides(request, settings)
    if isinstance(overrides, Refusal):
        return overrides
    if request.assignments:
        partitions = _assigned(image, request)
    else:
        partitions = _placed(image, request, settings)
    if isinstance(partitions, Refusal):
        return partitions
    refusal = _folder_name_too_long(request.name, len(partitions))
    if refusal is not None:
        return refusal
    return TopicState(
        name=request.name, topic_id=topic_id, partitions=partitions, settings=overrides
    )


def with_topic(image: ClusterImage, topic: TopicState) -> ClusterImage:
    """The image as placement sees it once that topic is made."""
    held = image.held
    counts = Counter(broker_id for p in topic.partitions for broker_id in p.replicas)
    for broker_id, count in counts.items():
        held = held.set(broker_id, held.get(broker_id, 0) + count)
    return replace(image, held=held)


def offsets_topic(settings: BrokerSettings) -> NewTopic:
    """The topic that holds committed offsets: compacted, and batches kept as they are written."""
    return NewTopic(
        name=OFFSETS_TOPIC,
        partition_count=settings.offsets_topic_num_partitions,
        replication_factor=settings.offsets_topic_replication_factor,
        settings=(
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", str(settings.offsets_topic_segment_bytes)),
        ),
    )


def create_partitions(
    image: ClusterImage, request: MorePartitions
) -> tuple[PartitionState, ...] | Refusal:
    """The partitions to add behind those the topic has."""
    topic = image.topics.get(request.name)
    if topic is None:
        return Refusal(
            Code.UNKNOWN_TOPIC_OR_PARTITION, f"There is no topic named '{request.name}'."
        )
    if topic.name == OFFSETS_TOPIC:
        return Refusal(
            Code.INVALID_PARTITIONS,
            f"{topic.name} keeps its number of partitions: with another, groups would be looked "
            "for where their offsets are not.",
        )
    have = len(topic.partitions)
    if request.partition_count == have:
        return Refusal(Code.INVALID_PARTITIONS, f"Topic already has {have} partition(s).")
    if request.partition_count < have:
        return Refusal(
            Code.INVALID_PARTITIONS,
            f"The topic {topic.name} currently has {have} partition(s); "
            f"{request.partition_count} would not be an increase.",
        )
    refusal = _folder_name_too_long(topic.name, request.partition_count)
    if refusal is not None:
        return refusal
    additional = request.partition_count - have
    factor = len(topic.partitions[0].replicas)
    if request.assignments is None:
        if factor > REPLICAS_MAX:
            return _too_many_replicas(factor)
        placed = place(
            list(image.brokers.values()),
            partitions=additional,
            replication_factor=factor,
            held=image.held,
            led=Counter(partition.replicas[0] for partition in topic.partitions),
        )
        return placed if isinstance(placed, Refusal) else _states(placed)
    if len(request.assignments) != additional:
        return Refusal(
            Code.INVALID_REPLICA_ASSIGNMENT,
            f"Attempted to add {additional} additional partition(s), but only "
            f"{len(request.assignments)} assignment(s) were specified.",
        )
    for replicas in request.assignments:
        refusal = check_assignment(image, replicas, factor)
        if refusal is not None:
            return refusal
    return _states(request.assignments)


def check_assignment(
    image: ClusterImage, replicas: Replicas, replication_factor: int | None
) -> Refusal | None:
    """Why this replica list cannot be, or None. None as the factor allows any length."""
    reason = None
    if not replicas:
        reason = "an empty replica list"
    for broker_id in sorted(replicas):
        if broker_id not in image.brokers:
            reason = reason or f"broker {broker_id}, but no such broker is registered"
        elif replicas.count(broker_id) > 1:
            reason = reason or f"the broker {broker_id} more than once"
    if reason is None and replication_factor not in (None, len(replicas)):
        reason = (
            f"a partition with {len(replicas)} replica(s), but this is not consistent with "
            f"previous partitions, which have {replication_factor} replica(s)"
        )
    if reason is None and len(replicas) > REPLICAS_MAX:
        reason = f"a partition with {len(replicas)} replicas, but {_ONE_REPLICA}"
    if reason is None:
        return None
    return Refusal(
        Code.INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment includes {reason}."
    )


def elect_leader(
    image: ClusterImage, topic_name: str, index: int, election: int
) -> PartitionState | Refusal:
    """The partition under its newly elected leader (KIP-183, KIP-460)."""
    found = _partition(image, topic_name, index)
    if isinstance(found, Refusal):
        return found
    alive = [broker_id for broker_id in found.replicas if broker_id in image.brokers]
    # A broker that is gone keeps what it leads, which then nobody leads.
    leader = found.leader if found.leader in image.brokers else NO_LEADER
    if election == PREFERRED:
        preferred = found.replicas[0]
        if leader == preferred:
            return Refusal(Code.ELECTION_NOT_NEEDED, "The preferred replica leads already.")
        if preferred in alive and preferred in found.isr:
            return lead(found, preferred, found.isr)
        return Refusal(
            Code.PREFERRED_LEADER_NOT_AVAILABLE, "The preferred replica is not in sync and alive."
        )
    if leader != NO_LEADER:
        return Refusal(Code.ELECTION_NOT_NEEDED, "The partition has a leader.")
    in_sync = [broker_id for broker_id in alive if broker_id in found.isr]
    if in_sync:
        return lead(found, in_sync[0], found.isr)
    if alive:
        return lead(found, alive[0], (alive[0],))
    return Refusal(Code.ELIGIBLE_LEADERS_NOT_AVAILABLE, "No replica is alive.")


def lead(partition: PartitionState, leader: int, isr: Replicas) -> PartitionState:
    """The partition under `leader`, both epochs raised."""
    return replace(
        partition,
        leader=leader,
        isr=isr,
        leader_epoch=partition.leader_epoch + 1,
        partition_epoch=partition.partition_epoch + 1,
    )


def reassign(
    image: ClusterImage,
    topic_name: str,
    index: int,
    replicas: Replicas | None,
    *,
    any_factor: bool = True,
) -> PartitionState | Refusal | None:
    """The partition with other replicas; None where nothing changes. `replicas` None cancels.

    `any_factor` allows another number of replicas. Only replicas that hold the data already can
    be chosen, until replication can move it.
    """
    found = _partition(image, topic_name, index)
    if isinstance(found, Refusal):
        return found
    if replicas is None:
        return Refusal(
            Code.NO_REASSIGNMENT_IN_PROGRESS, "No partition reassignment is in progress."
        )
    refusal = check_assignment(image, replicas, None)
    if refusal is not None:
        return refusal
    if not any_factor and len(replicas) != len(found.replicas):
        return Refusal(
            Code.INVALID_REPLICATION_FACTOR,
            f"The replication factor is changed from {len(found.replicas)} to {len(replicas)}",
        )
    if replicas == found.replicas:
        return None
    if not set(replicas) <= set(found.isr):
        return Refusal(
            Code.INVALID_REPLICA_ASSIGNMENT,
            "This release cannot move a partition to a broker that does not hold it.",
        )
    kept = tuple(broker_id for broker_id in found.isr if broker_id in replicas)
    leader = found.leader if found.leader in replicas else replicas[0]
    return replace(lead(found, leader, kept), replicas=replicas)


def _overrides(request: NewTopic, settings: BrokerSettings) -> Mapping[str, str] | Refusal:
    empty = [name for name, value in request.settings if value is None]
    if empty:
        return Refusal(
            Code.INVALID_CONFIG, f"Null value not supported for topic configs: {','.join(empty)}"
        )
    overrides = {name: value for name, value in request.settings if value is not None}
    try:
        check_topic_settings(settings, overrides)
    except SettingError as error:
        return Refusal(Code.INVALID_CONFIG, str(error))
    return overrides


def _assigned(image: ClusterImage, request: NewTopic) -> tuple[PartitionState, ...] | Refusal:
    for what, count in (
        ("replication factor", request.replication_factor),
        ("numPartitions", request.partition_count),
    ):
        if count != DEFAULT:
            return Refusal(
                Code.INVALID_REQUEST,
                f"A manual partition assignment was specified, but {what} was not set to -1.",
            )
    by_index: dict[int, Replicas] = {}
    factor: int | None = None
    for index, replicas in request.assignments:
        if index in by_index:
            return Refusal(
                Code.INVALID_REPLICA_ASSIGNMENT,
                f"Found multiple manual partition assignments for partition {index}",
            )
        refusal = check_assignment(image, replicas, factor)
        if refusal is not None:
            return refusal
        by_index[index], factor = replicas, len(replicas)
    if sorted(by_index) != list(range(len(by_index))):
        return Refusal(
            Code.INVALID_REPLICA_ASSIGNMENT,
            "partitions should be a consecutive 0-based integer sequence",
        )
    return _states(tuple(by_index[index] for index in range(len(by_index))))


def _placed(
    image: ClusterImage, request: NewTopic, settings: BrokerSettings
) -> tuple[PartitionState, ...] | Refusal:
    count, factor = request.partition_count, request.replication_factor
    if factor < DEFAULT or factor == 0:
        return Refusal(
            Code.INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if count < DEFAULT or count == 0:
        return Refusal(
            Code.INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        )
    count = settings.num_partitions if count == DEFAULT else count
    if count > settings.partitions_per_request_max:
        return too_many(settings)
    factor = settings.default_replication_factor if factor == DEFAULT else factor
    if factor > REPLICAS_MAX:
        return _too_many_replicas(factor)
    placed = place(
        list(image.brokers.values()),
        partitions=count,
        replication_factor=factor,
        held=image.held,
    )
    return placed if isinstance(placed, Refusal) else _states(placed)


def _folder_name_too_long(name: str, partition_count: int) -> Refusal | None:
    """A partition's folder is named topic-index, which a file system holds only so long."""
    if len(f"{name}-{partition_count - 1}") <= _FOLDER_CHARACTERS_MAX:
        return None
    return Refusal(
        Code.INVALID_PARTITIONS,
        f"The topic's name is too long for {partition_count} partitions: with the last one's "
        f"number it has more than the {_FOLDER_CHARACTERS_MAX} characters of a folder's name.",
    )


def too_many(settings: BrokerSettings) -> Refusal:
    """More partitions than one request may make."""
    return Refusal(
        Code.POLICY_VIOLATION,
        "Excessively large number of partitions per request: at most "
        f"{settings.partitions_per_request_max} (partitions.per.request.max).",
    )


_ONE_REPLICA: Final = "this release keeps one replica of each partition"


def _too_many_replicas(factor: int) -> Refusal:
    return Refusal(
        Code.INVALID_REPLICATION_FACTOR,
        f"Unable to replicate the partition {factor} time(s): {_ONE_REPLICA}; ask for a "
        "replication factor of 1, or -1 for the default.",
    )


def _states(placed: Sequence[Replicas]) -> tuple[PartitionState, ...]:
    return tuple(
        PartitionState(replicas=replicas, isr=replicas, leader=replicas[0]) for replicas in placed
    )


def _partition(image: ClusterImage, topic_name: str, index: int) -> PartitionState | Refusal:
    topic = image.topics.get(topic_name)
    if topic is None:
        return Refusal(Code.UNKNOWN_TOPIC_OR_PARTITION, f"No such topic as {topic_name}")
    if not 0 <= index < len(topic.partitions):
        return Refusal(
            Code.UNKNOWN_TOPIC_OR_PARTITION, f"No such partition as {topic_name}-{index}"
        )
    return topic.partitions[index]
