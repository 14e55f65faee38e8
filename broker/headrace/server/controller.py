"""The controller's hand: executes what core decides, against the metadata store.

One change at a time. A change is decided on the newest image, written in one guarded
transaction, decided again on Conflict, and looked up on Unknown; a method returns once this
broker's own image holds the change, so a Metadata request that follows sees it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from headrace.base.errors import Code, Refusal
from headrace.base.image import ClusterImage, PartitionState, QuotaEntity, QuotaState, TopicState
from headrace.core import controller as decide
from headrace.core.features import FeatureUpdate
from headrace.core.features import refuse as refuse_feature
from headrace.meta.keys import (
    TopicValue,
    decode,
    decode_topic,
    encode,
    encode_partition,
    encode_topic,
)
from headrace.meta.store import (
    OPERATIONS_MAX,
    Delete,
    Done,
    Guard,
    ModRevision,
    Operation,
    Put,
    Store,
    Unavailable,
)
from headrace.server import descriptors, topic_writes
from headrace.server.guarded_writes import ATTEMPTS, GuardedWrites, away
from headrace.server.metadata import Metadata
from headrace.server.topic_writes import value_of

_CHUNK: Final = OPERATIONS_MAX - 8
"""Writes in one transaction, with room for guards."""
_GUARDED: Final = _CHUNK // 2
"""Writes in one transaction where each has a guard of its own."""
_WRITTEN_ANEW: Final = Code.INVALID_UPDATE_VERSION
"""An orphan is none any more."""
_PRODUCER_IDS: Final = 1000
"""Producer ids taken from the store at once, as Kafka takes them; a crash wastes the rest."""
_PRODUCER_IDS_LOW: Final = _PRODUCER_IDS // 2
"""With fewer left the next block is taken ahead: a store that is away stops no new producer."""


Charge = Callable[[int], Refusal | None]
"""Counts partitions that are about to change, or says why they may not (quotas, KIP-599)."""


def free(_partitions: int) -> None:
    """The charge of whoever has no quota."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What terms before `term` did not finish; a term is named by its controller epoch.

    `orphans` are partitions that no topic counts, each as it was then.
    """

    term: int
    deleting: tuple[TopicValue, ...]
    orphans: tuple[ModRevision, ...]


class Controller(GuardedWrites):
    """Serves admin requests; every method answers a value or a Refusal."""

    def __init__(self, metadata: Metadata, store: Store) -> None:
        super().__init__(metadata, store)
        self._ids_turn = asyncio.Lock()
        self._ids: deque[int] = deque()

    # Topics.

    async def create_topic(
        self, request: decide.NewTopic, *, validate_only: bool = False, charge: Charge = free
    ) -> TopicState | Refusal:
        """The new topic. Its partitions are written first, its name last."""
        made = await self.create_topics((request,), validate_only=validate_only, charge=charge)
        return made[0]

    async def create_topics(
        self,
        requests: Sequence[decide.NewTopic],
        *,
        validate_only: bool = False,
        charge: Charge = free,
    ) -> list[TopicState | Refusal]:
        """The new topics, each made or refused alone; small ones share transactions."""
        async with self._turn:
            image = self._metadata.image
            names = decide.Names(image)
            outcomes: list[TopicState | Refusal] = []
            for request in requests:
                decided = self._decide_topic(image, names, request, charge)
                if isinstance(decided, TopicState):
                    names.take(decided.name)
                    image = decide.with_topic(image, decided)
                outcomes.append(decided)
            if validate_only:
                return outcomes
            made = [decided for decided in outcomes if isinstance(decided, TopicState)]
            refusals = await self._write_topics(made)
            shown = self._metadata.image.topics
            return [
                found
                if isinstance(found, Refusal)
                else refusals.get(found.name) or shown.get(found.name) or found
                for found in outcomes
            ]

    def _decide_topic(
        self, image: ClusterImage, names: decide.Names, request: decide.NewTopic, charge: Charge
    ) -> TopicState | Refusal:
        refusal = names.refuse(request.name)
        if refusal is not None:
            return refusal
        topic = decide.create_topic(image, request, self._metadata.settings, topic_id=uuid4())
        if isinstance(topic, Refusal):
            return topic
        refusal = descriptors.refuse(image, topic.partitions)
        return refusal or charge(len(topic.partitions)) or topic

    async def _write_topics(self, topics: Sequence[TopicState]) -> dict[str, Refusal]:
        """Write them, many in a transaction; what was refused, by name."""
        refusals: dict[str, Refusal] = {}
        away: Refusal | None = None
        for share in topic_writes.shares(topics, _GUARDED):
            refusal = away
            if refusal is None and len(share) > 1:
                guards, puts = topic_writes.whole(self._keys, share)
                refusal = await self._commit(guards, puts, Code.TOPIC_ALREADY_EXISTS)
                if refusal is None:
                    continue
            if refusal is not None and refusal.code is not Code.TOPIC_ALREADY_EXISTS:
                # Whoever asks the store next would wait as long for the same.
                away = refusal
                refusals |= {topic.name: refusal for topic in share}
                continue
            for topic in share:  # One by one, each sees whether it is the one in the way.
                refusal = await self._write_topic(topic)
                if refusal is not None:
                    refusals[topic.name] = refusal
        return refusals

    async def _write_topic(self, topic: TopicState) -> Refusal | None:
        key = self._keys.topic(topic.name)
        head = Put(key, encode_topic(value_of(topic)))
        refusal = await self._write_partitions(
            topic.topic_id, 0, topic.partitions, head, on_conflict=Code.TOPIC_ALREADY_EXISTS
        )
        if refusal is None or refusal.code is not Code.TOPIC_ALREADY_EXISTS:
            # Where it is not known, it may still happen; where we are the controller no longer,
            # the next one sees it. What is left over `sweep` removes.
            return refusal
        try:
            taken = await self._store.get(key)
        except Unavailable as error:
            return away(str(error))
        if taken is not None and decode_topic(key, taken.value).topic_id == topic.topic_id:
            return await self._seen(taken.mod_revision)  # Ours: only the answer was lost.
        await self._sweep_partitions(topic.topic_id, range(len(topic.partitions)))
        return Refusal(Code.TOPIC_ALREADY_EXISTS, f"Topic '{topic.name}' already exists.")

    async def _write_partitions(
        self,
        topic_id: UUID,
        first: int,
        partitions: Sequence[PartitionState],
        head: Put,
        revision: int = 0,
        on_conflict: Code = Code.REQUEST_TIMED_OUT,
    ) -> Refusal | None:
        """Write partitions, then `head` (the topic) guarded by its revision, in few txns.

        Each is written over what is known to be there, so an attempt that arrives late changes
        nothing; and all in one term: between two terms of ours another controller may have swept
        up the first ones, and a topic must never count what is not there.
        """
        term, revision_of = self._metadata.image.controller_epoch, self._metadata.builder.revision
        writes: list[tuple[Guard, Operation]] = []
        for index, partition in enumerate(partitions, first):
            key = self._keys.partition(topic_id, index)
            guard = ModRevision(key, revision_of(topic_id, index))
            writes.append((guard, Put(key, encode_partition(partition))))
        writes.append((ModRevision(head.key, revision), head))
        for start in range(0, len(writes), _GUARDED):
            guards, puts = zip(*writes[start : start + _GUARDED], strict=True)
            refusal = await self._commit(guards, puts, on_conflict, term=term)
            if refusal is not None:
                return refusal
        return None

    async def delete_topic(self, topic: TopicState) -> Refusal | None:
        """Gone from the image when this returns; its partitions are removed after it."""
        key, mark = self._keys.topic(topic.name), self._keys.deleting(topic.topic_id)
        async with self._turn:
            current = self._metadata.image.topic_by_id(topic.topic_id)
            if current is None:
                return Refusal(Code.UNKNOWN_TOPIC_OR_PARTITION, f"{topic.name} is gone already.")
            value = value_of(current)
            refusal = await self._commit(
                (ModRevision(key, current.revision),),
                [Delete(key), Put(mark, encode_topic(value))],
            )
        if refusal is None:
            await self._finish_deletion(value)
        return refusal

    async def create_partitions(
        self, request: decide.MorePartitions, *, validate_only: bool = False, charge: Charge = free
    ) -> Refusal | None:
        """More partitions for a topic; they appear all at once, when the topic counts them."""
        async with self._turn:
            image = self._metadata.image
            added = decide.create_partitions(image, request)
            if isinstance(added, Refusal):
                return added
            refusal = descriptors.refuse(image, added) or charge(len(added))
            if refusal is not None or validate_only:
                return refusal
            topic = image.topics[request.name]
            have = len(topic.partitions)
            value = TopicValue(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_count=have + len(added),
                settings=topic.settings,
            )
            head = Put(self._keys.topic(topic.name), encode_topic(value))
            return await self._write_partitions(topic.topic_id, have, added, head, topic.revision)

    async def elect_leader(self, topic_name: str, index: int, election: int) -> Refusal | None:
        """Elect a leader for one partition (decide.PREFERRED or decide.UNCLEAN)."""
        async with self._turn:
            image = self._metadata.image
            return await self._set_partition(
                topic_name, index, decide.elect_leader(image, topic_name, index, election)
            )

    async def reassign(
        self,
        topic_name: str,
        index: int,
        replicas: tuple[int, ...] | None,
        *,
        any_factor: bool = True,
    ) -> Refusal | None:
        """Give a partition other replicas, or cancel that with None."""
        async with self._turn:
            image = self._metadata.image
            decided = decide.reassign(image, topic_name, index, replicas, any_factor=any_factor)
            return await self._set_partition(topic_name, index, decided)

    async def _set_partition(
        self, topic_name: str, index: int, decided: PartitionState | Refusal | None
    ) -> Refusal | None:
        if decided is None or isinstance(decided, Refusal):
            return decided
        topic = self._metadata.image.topics[topic_name]
        key = self._keys.partition(topic.topic_id, index)
        return await self._commit(
            (ModRevision(key, decided.revision),), [Put(key, encode_partition(decided))]
        )

    # Settings and features.

    async def alter_topic(
        self,
        name: str,
        decision: Callable[[Mapping[str, str]], Mapping[str, str] | Refusal],
        *,
        validate_only: bool = False,
    ) -> Refusal | None:
        """Replace a topic's settings by what `decision` makes of them."""
        async with self._turn:
            topic = self._metadata.image.topics.get(name)
            if topic is None:
                return Refusal(
                    Code.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist."
                )
            after = decision(topic.settings)
            if isinstance(after, Refusal):
                return after
            if validate_only or after == topic.settings:
                return None
            value = TopicValue(
                name=name,
                topic_id=topic.topic_id,
                partition_count=len(topic.partitions),
                settings=after,
            )
            key = self._keys.topic(name)
            return await self._commit(
                (ModRevision(key, topic.revision),), [Put(key, encode_topic(value))]
            )

    async def alter_settings(
        self,
        resource: str,
        name: str,
        decision: Callable[[Mapping[str, str]], Mapping[str, str] | Refusal],
        *,
        validate_only: bool = False,
        own: bool = False,
    ) -> Refusal | None:
        """The same for ("broker", ""), all brokers, or ("broker", "1"), one of them.

        A broker writes its `own` settings whoever is the controller: nobody else does, and only
        it can tell what fits.
        """
        async with self._turn:
            image = self._metadata.image
            before = image.settings.get((resource, name), {})
            after = decision(before)
            if isinstance(after, Refusal):
                return after
            if validate_only or after == before:
                return None
            key = self._keys.settings(resource, name)
            revision = image.settings_revisions.get((resource, name), 0)
            write: Operation = Put(key, encode({"settings": dict(after)})) if after else Delete(key)
            return await self._commit((ModRevision(key, revision),), [write], as_controller=not own)

    async def update_features(
        self, updates: Sequence[FeatureUpdate], *, validate_only: bool = False
    ) -> Refusal | None:
        """All updates at once, or none: the first that is refused is answered."""
        async with self._turn:
            current = self._metadata.image.features
            for update in updates:
                refusal = refuse_feature(current, update)
                if refusal is not None:
                    return refusal
            writes: list[Operation] = []
            for update in updates:
                key = self._keys.feature(update.name)
                if update.level != current.get(update.name, 0):
                    level = encode({"level": update.level})
                    writes.append(Put(key, level) if update.level else Delete(key))
            if validate_only or not writes:
                return None
            return await self._commit((), writes)

    async def alter_quotas(
        self,
        decision: Callable[
            [Mapping[QuotaEntity, QuotaState]], Mapping[QuotaEntity, Mapping[str, float]]
        ],
    ) -> Refusal | None:
        """Write the values that `decision` makes of those there are; an entity without any goes."""
        async with self._turn:
            quotas = self._metadata.image.quotas
            changed = list(decision(quotas).items())
            for start in range(0, len(changed), _GUARDED):
                guards: list[Guard] = []
                writes: list[Operation] = []
                for entity, values in changed[start : start + _GUARDED]:
                    key = self._keys.quota(entity)
                    revision = quotas[entity].revision if entity in quotas else 0
                    guards.append(ModRevision(key, revision))
                    writes.append(Put(key, encode({"values": values})) if values else Delete(key))
                refusal = await self._commit(guards, writes)
                if refusal is not None:
                    return refusal
            return None

    # Producer ids.

    async def next_producer_id(self) -> int | Refusal:
        """An id that no producer had before, in this run or another."""
        while not self._ids:
            async with self._ids_turn:
                refusal = None if self._ids else await self._take_producer_ids()
            if refusal is not None:
                return refusal
        return self._ids.popleft()

    async def stock_producer_ids(self) -> None:
        """Take a block ahead where few ids are left; where that fails, a later call tries."""
        if len(self._ids) < _PRODUCER_IDS_LOW and not self._ids_turn.locked():
            async with self._ids_turn:
                await self._take_producer_ids()

    async def _take_producer_ids(self) -> Refusal | None:
        key = self._keys.producer_ids
        for _ in range(ATTEMPTS):
            try:
                entry = await self._store.get(key)
            except Unavailable as error:
                return away(str(error))
            first = 0 if entry is None else int(decode(key, entry.value)["next"])
            revision = 0 if entry is None else entry.mod_revision
            write = Put(key, encode({"next": first + _PRODUCER_IDS}))
            # After Unknown the next read shows a block that is taken, by us or not: it is left.
            if isinstance(await self._store.txn([ModRevision(key, revision)], [write]), Done):
                self._ids.extend(range(first, first + _PRODUCER_IDS))
                return None
        return away(f"{ATTEMPTS} tries to take producer ids failed")

    # What a crash left behind.

    def leftovers(self) -> Leftovers:
        """What nobody finished by the image's revision. Ask when a term begins, not later: what
        a topic that is being made has written is counted by none either.
        """
        builder = self._metadata.builder
        orphans = tuple(
            ModRevision(self._keys.partition(topic_id, index), builder.revision(topic_id, index))
            for topic_id, indexes in builder.orphans.items()
            for index in indexes
        )
        return Leftovers(
            term=self._metadata.image.controller_epoch,
            deleting=tuple(builder.deleting.values()),
            orphans=orphans,
        )

    async def sweep(self, found: Leftovers) -> Refusal | None:
        """Finish deletions and remove partitions that no topic counts; None once it is done."""
        for value in found.deleting:
            refusal = await self._finish_deletion(value, found.term)
            if refusal is not None:
                return refusal
        for start in range(0, len(found.orphans), _GUARDED):
            guards = found.orphans[start : start + _GUARDED]
            refusal = await self._remove_orphans(guards, found.term)
            if refusal is not None and refusal.code is _WRITTEN_ANEW:
                # A topic that grew since has some of them: those stay.
                for guard in guards:
                    refusal = await self._remove_orphans([guard], found.term)
                    refusal = None if refusal and refusal.code is _WRITTEN_ANEW else refusal
                    if refusal is not None:
                        return refusal
            elif refusal is not None:
                return refusal
        return None

    async def _remove_orphans(self, guards: Sequence[ModRevision], term: int) -> Refusal | None:
        deletes = [Delete(guard.key) for guard in guards]
        return await self._commit(guards, deletes, _WRITTEN_ANEW, term=term)

    async def raise_leader_epochs(self) -> Refusal | None:
        """A new leader epoch for all that this broker leads, after an unclean stop.

        A power cut may have taken the end of a log; with a new epoch a reader that saw it
        learns so (KIP-320) instead of reading other records at the same offsets. A leader may do
        so itself: the revision of each partition guards it.
        """
        node, topics = self._metadata.node_id, self._metadata.image.topics.values()
        led = [
            (self._keys.partition(topic.topic_id, index), partition)
            for topic in topics
            for index, partition in enumerate(topic.partitions)
            if partition.leader == node
        ]
        async with self._turn:
            for start in range(0, len(led), _GUARDED):
                chunk = led[start : start + _GUARDED]
                refusal = await self._commit(
                    tuple(ModRevision(key, partition.revision) for key, partition in chunk),
                    [
                        Put(key, encode_partition(decide.lead(partition, node, partition.isr)))
                        for key, partition in chunk
                    ],
                    as_controller=False,
                )
                if refusal is not None:
                    return refusal
        return None

    async def _finish_deletion(self, value: TopicValue, term: int | None = None) -> Refusal | None:
        indexes = range(value.partition_count)
        refusal = await self._sweep_partitions(value.topic_id, indexes, term)
        if refusal is not None:
            return refusal
        return await self._commit((), [Delete(self._keys.deleting(value.topic_id))], term=term)

    async def _sweep_partitions(
        self, topic_id: UUID, indexes: Sequence[int], term: int | None = None
    ) -> Refusal | None:
        keys = [self._keys.partition(topic_id, index) for index in indexes]
        for start in range(0, len(keys), _CHUNK):
            chunk: list[Operation] = [Delete(key) for key in keys[start : start + _CHUNK]]
            refusal = await self._commit((), chunk, term=term)
            if refusal is not None:
                return refusal
        return None
