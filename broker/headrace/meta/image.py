"""From the store's entries and changes to the cluster image, applied by revision.

One `ImageBuilder` follows one store. Partitions may be read before their topic is there (they
are written first), so it keeps them apart and shows a topic once all that it counts are known.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from headrace.base.image import ClusterImage, PartitionState, QuotaState, TopicState
from headrace.base.invariant import invariant
from headrace.meta.keys import (
    Keys,
    TopicValue,
    decode,
    decode_broker,
    decode_partition,
    decode_topic,
    quota_entity,
)
from headrace.meta.store import Change, Entry, Snapshot

_KINDS: Final = {
    *("cluster", "controller", "brokers", "configs", "features", "quotas"),
    "producer-ids",  # not shown, but a newer format of it is refused like any other
}


class ImageBuilder:
    """`image` is the newest; `deleting` and `orphans` are what a controller has to finish."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.image = ClusterImage(cluster_id="")
        self.deleting: dict[UUID, TopicValue] = {}
        self.registrations: dict[int, Entry] = {}
        self._topics: dict[str, tuple[TopicValue, int]] = {}
        self._names: dict[UUID, str] = {}
        self._partitions: dict[UUID, dict[int, PartitionState]] = {}

    @property
    def orphans(self) -> dict[UUID, tuple[int, ...]]:
        """Partitions that no topic counts: a creation that was cut short, or a deletion."""
        found = {}
        for topic_id, partitions in self._partitions.items():
            name = self._names.get(topic_id)
            count = 0 if name is None else self._topics[name][0].partition_count
            if len(partitions) == count:
                continue  # A topic has all that it counts, so these are they.
            beyond = tuple(sorted(index for index in partitions if index >= count))
            if beyond:
                found[topic_id] = beyond
        return found

    def revision(self, topic_id: UUID, index: int) -> int:
        """The mod revision of a partition, counted by a topic or not; 0 where there is none."""
        partition = self._partitions.get(topic_id, {}).get(index)
        return 0 if partition is None else partition.revision

    def load(self, snapshot: Snapshot) -> bool:
        """Start anew from a full read; False, and nothing done, where it is older than the
        image."""
        if snapshot.revision < self.image.revision:
            return False
        self.__init__(self._keys)  # type: ignore[misc]
        self._apply([(e.key, e) for e in snapshot.entries], snapshot.revision)
        return True

    def apply(self, changes: Sequence[Change]) -> bool:
        """One revision's changes; False, and nothing done, where they are not news."""
        if not changes or changes[0].revision <= self.image.revision:
            return False
        self._apply([(c.key, c.entry) for c in changes], changes[0].revision)
        return True

    def _apply(self, changed: Sequence[tuple[str, Entry | None]], revision: int) -> None:
        touched: dict[str, None] = {}
        updates: dict[str, Any] = {}
        for key, entry in changed:
            match self._keys.parts(key):
                case ("topics", name):
                    self._set_topic(name, entry)
                    touched[name] = None
                case ("partitions", topic_id, index):
                    self._set_partition(UUID(topic_id), int(index), key, entry)
                    name = self._names.get(UUID(topic_id), "")
                    if name:
                        touched[name] = None
                case ("deleting", topic_id):
                    self._set_deleting(UUID(topic_id), entry)
                case parts:
                    self._set_other(parts, key, entry, updates)
        image = replace(self.image, revision=revision, **updates)
        more: Counter[int] = Counter()
        for name in touched:
            before = image.topics.get(name)
            image = self._show_topic(image, name)
            _count_replicas(more, before, -1)
            _count_replicas(more, image.topics.get(name), 1)
        self.image = _with_held(image, more)

    def _set_topic(self, name: str, entry: Entry | None) -> None:
        before = self._topics.pop(name, None)
        if before is not None:
            self._names.pop(before[0].topic_id, None)
        if entry is not None:
            value = decode_topic(entry.key, entry.value)
            self._topics[name] = (value, entry.mod_revision)
            self._names[value.topic_id] = name

    def _set_partition(self, topic_id: UUID, index: int, key: str, entry: Entry | None) -> None:
        partitions = self._partitions.setdefault(topic_id, {})
        if entry is None:
            partitions.pop(index, None)
            if not partitions:
                del self._partitions[topic_id]
        else:
            partitions[index] = decode_partition(key, entry.value, entry.mod_revision)

    def _set_deleting(self, topic_id: UUID, entry: Entry | None) -> None:
        if entry is None:
            self.deleting.pop(topic_id, None)
        else:
            self.deleting[topic_id] = decode_topic(entry.key, entry.value)

    def _set_other(
        self, parts: tuple[str, ...], key: str, entry: Entry | None, updates: dict[str, Any]
    ) -> None:
        """Keys that stand for one field of the image; unknown ones belong to a newer broker."""
        if parts[0] not in _KINDS:
            return

        def current(field: str) -> Any:
            return updates.get(field, getattr(self.image, field))

        fields: Mapping[str, Any] = {} if entry is None else decode(key, entry.value)
        match parts:
            case ("cluster",):
                updates["cluster_id"] = fields.get("id", "")
            case ("controller",):
                updates["controller_id"] = fields.get("broker", -1)
                updates["controller_epoch"] = -1 if entry is None else entry.create_revision
            case ("brokers", text):
                self._set_broker(int(text), entry, updates, current("brokers"))
            case ("configs", resource, name):
                where = (resource, name)
                settings, revisions = current("settings"), current("settings_revisions")
                updates["settings"] = (
                    settings.remove(where)
                    if entry is None
                    else settings.set(where, fields["settings"])
                )
                updates["settings_revisions"] = (
                    revisions.remove(where)
                    if entry is None
                    else revisions.set(where, entry.mod_revision)
                )
            case ("quotas", rest):
                entity, quotas = quota_entity(rest), current("quotas")
                if entry is None:
                    updates["quotas"] = quotas.remove(entity)
                else:
                    state = QuotaState(values=fields["values"], revision=entry.mod_revision)
                    updates["quotas"] = quotas.set(entity, state)
            case ("features", name):
                features = {k: v for k, v in current("features").items() if k != name}
                level = {} if entry is None else {name: fields["level"]}
                updates["features"] = {**features, **level}

    def _set_broker(
        self, broker_id: int, entry: Entry | None, updates: dict[str, Any], brokers: Any
    ) -> None:
        if entry is None:
            self.registrations.pop(broker_id, None)
            updates["brokers"] = brokers.remove(broker_id)
        else:
            self.registrations[broker_id] = entry
            broker = decode_broker(entry.key, entry.value, broker_id, entry.create_revision)
            updates["brokers"] = brokers.set(broker_id, broker)

    def _show_topic(self, image: ClusterImage, name: str) -> ClusterImage:
        shown = image.topics.get(name)
        if shown is not None and shown.topic_id not in self._names:
            image = replace(image, topic_names=image.topic_names.remove(shown.topic_id))
        if name not in self._topics:
            return replace(image, topics=image.topics.remove(name))
        value, revision = self._topics[name]
        partitions = self._partitions.get(value.topic_id, {})
        invariant(
            all(index in partitions for index in range(value.partition_count)),
            "a topic counts partitions that were never written",
            topic=name,
        )
        topic = TopicState(
            name=name,
            topic_id=value.topic_id,
            partitions=tuple(partitions[index] for index in range(value.partition_count)),
            settings=value.settings,
            revision=revision,
        )
        return replace(
            image,
            topics=image.topics.set(name, topic),
            topic_names=image.topic_names.set(topic.topic_id, name),
        )


def _count_replicas(counts: Counter[int], topic: TopicState | None, sign: int) -> None:
    for partition in () if topic is None else topic.partitions:
        for broker_id in partition.replicas:
            counts[broker_id] += sign


def _with_held(image: ClusterImage, more: Mapping[int, int]) -> ClusterImage:
    held = image.held
    for broker_id, change in more.items():
        if change:
            count = held.get(broker_id, 0) + change
            held = held.set(broker_id, count) if count else held.remove(broker_id)
    return image if held is image.held else replace(image, held=held)
