"""The group coordinator of a broker: shards over __consumer_offsets, and what is around them.

The topic is created when a coordinator is first asked for. Topics that are deleted take the
offsets committed for them along.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import structlog

from headrace.base.errors import Code, Refusal
from headrace.base.image import ClusterImage
from headrace.core.controller import OFFSETS_TOPIC, NewTopic, offsets_topic
from headrace.core.coordinator import Answer, Now, Outcome
from headrace.core.groups.group import GroupState
from headrace.core.groups.shard import GroupShard
from headrace.server.coordinator import Answered, Coordinator, Operation, Refuse
from headrace.server.ends_elsewhere import EndsElsewhere
from headrace.server.lag_seconds import LagSeconds
from headrace.server.metric_lines import Family, line
from headrace.wire.offsets_topic import fits

if TYPE_CHECKING:
    from headrace.server.broker import Broker

log = structlog.get_logger("headrace.groups")


class Groups(Coordinator[GroupShard]):
    """See the module. Owned by the event loop."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._settings = broker.settings
        self._image = broker.metadata.image
        self._lag_seconds = LagSeconds(broker.partitions, broker.clock)
        self._elsewhere = EndsElsewhere(broker.metadata)
        super().__init__(
            topic=OFFSETS_TOPIC,
            partitions=broker.partitions,
            make_shard=lambda: GroupShard(self._settings),
            clock=broker.clock,
            room=broker.reserve,
            commit_timeout_ms=self._settings.offsets_commit_timeout_ms,
        )

    def follow(self, image: ClusterImage) -> None:
        """Listener of the metadata, after the partitions'."""
        old, self._image = self._image, image
        settings = self._broker.settings
        if settings is not self._settings:
            self._settings = settings
            for _, shard in self.shards():
                shard.configure(settings)
        super().follow(image)
        if old.topics is not image.topics:
            self._forget_deleted(old, image)

    async def close(self) -> None:
        """See Coordinator."""
        await self._elsewhere.close()
        await super().close()

    def _forget_deleted(self, old: ClusterImage, new: ClusterImage) -> None:
        gone = []
        for name in new.topics.changed_since(old.topics):
            topic, left = old.topics.get(name), new.topics.get(name)
            if topic is not None and (left is None or left.topic_id != topic.topic_id):
                gone.append(name)
        if not gone:
            return

        def forget(shard: GroupShard, token: int, now: Now) -> Outcome:
            return shard.forget_topics(gone)

        for index in self.led:
            self.tell_at(index, forget)

    async def ensure_topic(self) -> Refusal | None:
        """Create __consumer_offsets if it is not there. Why it is not there yet, or None."""
        if self._broker.metadata.image.topics.get(self.topic) is not None:
            return None
        return await self._broker.auto_create(self.topic)

    def new_topic(self, name: str) -> NewTopic | Refusal:
        """An internal topic with the settings its coordinator needs, or why there is none."""
        if name != self.topic:
            return Refusal(
                Code.INVALID_TOPIC_EXCEPTION, f"{name} is internal and nothing here uses it yet."
            )
        return offsets_topic(self._broker.settings)

    # Asking. A group's id that no record can hold is refused before anybody computes with it.

    def submit(self, key: str, operation: Operation[GroupShard], refuse: Refuse) -> Answered:
        """See Coordinator."""
        if not fits(key):
            return refuse(Code.INVALID_GROUP_ID)
        return super().submit(key, operation, refuse)

    def read(self, key: str, query: Callable[[GroupShard], Answer], refuse: Refuse) -> Answered:
        """See Coordinator."""
        if not fits(key):
            return refuse(Code.INVALID_GROUP_ID)
        return super().read(key, query, refuse)

    # Metrics.

    def metrics(self) -> Iterator[str]:
        """Lines of /metrics: groups by state, members, offsets and lag (kafka_exporter's names)."""
        states = dict.fromkeys(GroupState, 0)
        members: list[tuple[str, int]] = []
        for _, shard in self.shards():
            for group in shard.groups.values():
                states[group.state] += 1
                members.append((group.group_id, len(group.members)))
        name = "kafka_coordinator_group_groupmetadatamanager_numgroups"
        yield Family(name, "gauge", "Groups by state.").head()
        for state, count in states.items():
            if state is not GroupState.DEAD:
                yield line(name, count, state=state.value)
        name = "kafka_consumergroup_members"
        yield Family(name, "gauge", "Members of the group.").head()
        for group_id, count in members:
            yield line(name, count, consumergroup=group_id)
        name = "headrace_group_records_unreadable_total"
        yield Family(name, "counter", "Records passed over while groups were loaded.").head()
        yield line(name, self.records_unreadable)
        yield from self._lags()

    def _lags(self) -> Iterator[str]:
        # A snapshot: the page is rendered in slices, and offsets are committed in between.
        committed = [
            (group_id, topic, index, value.offset)
            for _, shard in self.shards()
            for group_id, topic, index, value in shard.offsets
        ]
        here = self._broker.partitions.get
        self._elsewhere.want((t, i) for _, t, i, _ in committed if here(t, i) is None)
        name = "kafka_consumergroup_current_offset"
        yield Family(name, "gauge", "Committed offset.").head()
        for group_id, topic, index, offset in committed:
            yield line(name, offset, consumergroup=group_id, topic=topic, partition=index)
        name = "kafka_consumergroup_lag"
        yield Family(name, "gauge", "Records not yet committed.").head()
        sums: dict[tuple[str, str], tuple[int, int]] = {}
        for group_id, topic, index, offset in committed:
            lag = self._lag(topic, index, offset)
            if lag is not None:
                yield line(name, lag, consumergroup=group_id, topic=topic, partition=index)
                offset_sum, lag_sum = sums.get((group_id, topic), (0, 0))
                sums[group_id, topic] = (offset_sum + offset, lag_sum + lag)
        for position, what in enumerate(("current_offset_sum", "lag_sum")):
            name = f"kafka_consumergroup_{what}"
            yield Family(name, "gauge", "Over the topic's partitions.").head()
            for (group_id, topic), both in sums.items():
                yield line(name, both[position], consumergroup=group_id, topic=topic)
        name = "kafka_consumergroup_group_lag_seconds"
        yield Family(name, "gauge", "Age of the batch that holds the next record to read.").head()
        for (group_id, topic, index, _), seconds in self._lag_seconds.of(committed):
            yield line(name, seconds, group=group_id, topic=topic, partition=index)

    def _lag(self, topic: str, index: int, offset: int) -> int | None:
        partition = self._broker.partitions.get(topic, index)
        end = self._elsewhere.get(topic, index) if partition is None else partition.high_watermark
        return None if end is None else max(end - offset, 0)
