"""The cluster as one broker knows it: an immutable value, replaced on every change.

meta/ builds it from the metadata store's keys, core/ decides on it, server/ answers from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from headrace.base.persistent_map import PersistentMap

NO_LEADER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address a broker advertises."""

    listener: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    """A registered broker. `epoch` is the create revision of its registration.

    `continues` is the epoch under which the same data was last held whole, None where a crash
    may have cost some of it.
    """

    broker_id: int
    epoch: int
    incarnation: UUID
    endpoints: tuple[Endpoint, ...]
    rack: str | None = None
    draining: bool = False
    continues: int | None = None
    token: str = field(default="", repr=False)
    """Known only to who reads the metadata store: by it brokers know each other's requests."""

    def endpoint(self, listener: str) -> Endpoint | None:
        """The address for clients that came in through `listener`."""
        return next((e for e in self.endpoints if e.listener == listener), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """Who holds one partition. `elr` are eligible leader replicas (KIP-966).

    `revision` is the store's mod revision of the partition, the guard of its next write.
    """

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int = 0
    partition_epoch: int = 0
    elr: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """One topic; the partition number is the index into `partitions`.

    A deleted topic leaves the image at once. `revision` guards the next write of the topic.
    """

    name: str
    topic_id: UUID
    partitions: tuple[PartitionState, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0

    @property
    def internal(self) -> bool:
        """Whether clients see it marked as internal."""
        return self.name in INTERNAL_TOPICS


QuotaEntity = tuple[tuple[str, str | None], ...]
"""Whom a quota is for: (("user", "alice"), ("client-id", None)), where None is the default.

Always in this order: user, client-id; or ip alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaState:
    """One entity's quotas by Kafka's keys. `revision` guards the next write."""

    values: Mapping[str, float]
    revision: int = 0


INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterImage:
    """Everything at one revision of the metadata store.

    `settings` holds the dynamic overrides outside of topics, by (resource type, name): the
    broker default is ("broker", ""), one broker is ("broker", "1"), a group is ("group", "g").
    `features` are the finalized levels (KIP-584). `settings_revisions` guard their next write.
    `held` counts the replicas of each broker's that has some.
    """

    cluster_id: str
    revision: int = 0
    controller_id: int = -1
    controller_epoch: int = -1
    brokers: PersistentMap[int, BrokerState] = field(default_factory=PersistentMap)
    topics: PersistentMap[str, TopicState] = field(default_factory=PersistentMap)
    topic_names: PersistentMap[UUID, str] = field(default_factory=PersistentMap)
    settings: PersistentMap[tuple[str, str], Mapping[str, str]] = field(
        default_factory=PersistentMap
    )
    features: Mapping[str, int] = field(default_factory=dict)
    settings_revisions: PersistentMap[tuple[str, str], int] = field(default_factory=PersistentMap)
    quotas: PersistentMap[QuotaEntity, QuotaState] = field(default_factory=PersistentMap)
    held: PersistentMap[int, int] = field(default_factory=PersistentMap)

    def controller_or(self, broker_id: int) -> int:
        """The controller, or that broker while there is none that is registered."""
        return self.controller_id if self.controller_id in self.brokers else broker_id

    def topic_by_id(self, topic_id: UUID) -> TopicState | None:
        """The topic of that id, or None: a re-created topic has another id."""
        name = self.topic_names.get(topic_id)
        return None if name is None else self.topics.get(name)
