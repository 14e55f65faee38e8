"""The image built from entries and from changes: the same, by revision, in any split."""

from dataclasses import replace
from uuid import UUID

import pytest
from headrace.base.image import BrokerState, ClusterImage, Endpoint, PartitionState
from headrace.base.invariant import Bug
from headrace.meta.image import ImageBuilder
from headrace.meta.keys import (
    Keys,
    TopicValue,
    UnknownFormat,
    encode,
    encode_broker,
    encode_partition,
    encode_topic,
)
from headrace.meta.store import Change, Entry, Snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

KEYS = Keys("/p/")
APP = (("user", None), ("client-id", "a/b=c ä"))
PARTITION = PartitionState(replicas=(1, 2), isr=(1,), leader=1, elr=(2,), leader_epoch=3)


class Log:
    """Writes what a store would tell, one revision a step."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.history: list[tuple[Change, ...]] = []
        self.revision = 1

    def write(self, *changes: tuple[str, bytes | None]) -> None:
        self.revision += 1
        told = []
        for key, value in changes:
            before = self.entries.pop(key, None)
            entry = None
            if value is not None:
                created = before.create_revision if before else self.revision
                entry = Entry(
                    key=key, value=value, create_revision=created, mod_revision=self.revision
                )
                self.entries[key] = entry
            told.append(Change(key, entry, self.revision))
        self.history.append(tuple(told))

    def snapshot(self) -> Snapshot:
        return Snapshot(self.revision, tuple(e for _, e in sorted(self.entries.items())))

    def topic(self, name: str, number: int, count: int) -> None:
        topic_id = UUID(int=number)
        for index in range(count):
            self.write((KEYS.partition(topic_id, index), encode_partition(PARTITION)))
        value = TopicValue(name=name, topic_id=topic_id, partition_count=count, settings={"a": "b"})
        self.write((KEYS.topic(name), encode_topic(value)))

    def delete_topic(self, name: str, number: int, count: int) -> None:
        topic_id = UUID(int=number)
        mark = TopicValue(name=name, topic_id=topic_id, partition_count=count, settings={})
        self.write((KEYS.topic(name), None), (KEYS.deleting(topic_id), encode_topic(mark)))
        for index in range(count):
            self.write((KEYS.partition(topic_id, index), None))
        self.write((KEYS.deleting(topic_id), None))


def history() -> Log:
    log = Log()
    log.write((KEYS.cluster, encode({"id": "c"})))
    broker = BrokerState(
        broker_id=1,
        epoch=-1,
        incarnation=UUID(int=1),
        endpoints=(Endpoint(listener="A", host="h", port=1),),
    )
    log.write((KEYS.broker(1), encode_broker(broker)), (KEYS.controller, encode({"broker": 1})))
    log.topic("t", 1, 2)
    moved = replace(PARTITION, replicas=(1, 3))
    log.write((KEYS.partition(UUID(int=1), 1), encode_partition(moved)))
    log.write((KEYS.settings("broker", ""), encode({"settings": {"x": "1"}})))
    log.write((KEYS.settings("group", "g/1 ä"), encode({"settings": {"y": "2"}})))
    log.delete_topic("t", 1, 2)
    log.topic("t", 2, 1)
    log.write((KEYS.feature("f"), encode({"level": 2})))
    log.write((KEYS.quota(APP), encode({"values": {"x": 1.0}})))
    log.write((KEYS.quota((("user", None),)), encode({"values": {"y": 2.0}})))
    log.write((KEYS.quota(APP), encode({"values": {"x": 3.0}})))
    log.write((KEYS.quota((("user", None),)), None))
    log.write((KEYS.settings("broker", ""), None), ("/p/unknown-to-us/x", b"{}"))
    return log


def shown(image: ClusterImage) -> object:
    return (
        image.cluster_id,
        image.revision,
        image.controller_id,
        image.controller_epoch,
        dict(image.brokers),
        dict(image.topics),
        dict(image.topic_names),
        dict(image.settings),
        dict(image.settings_revisions),
        image.features,
        dict(image.quotas),
        dict(image.held),
    )


@settings(max_examples=40)
@given(st.data())
def test_a_snapshot_then_changes_from_any_point_give_the_same_image(data: st.DataObject) -> None:
    """Changes that the snapshot holds already are told again, as a resumed watch may do."""
    log = history()
    whole = ImageBuilder(KEYS)
    assert whole.load(log.snapshot())
    cut = data.draw(st.integers(0, len(log.history)))
    early = Log()
    for changes in log.history[:cut]:
        early.write(*((c.key, c.entry.value if c.entry else None) for c in changes))
    follower = ImageBuilder(KEYS)
    follower.load(early.snapshot())
    again = data.draw(st.integers(0, cut))
    for changes in log.history[again:]:
        follower.apply(changes)
    assert shown(follower.image) == shown(whole.image)
    assert not whole.orphans and not whole.deleting


def test_what_the_history_leaves() -> None:
    builder = ImageBuilder(KEYS)
    builder.load(history().snapshot())
    image = builder.image
    assert image.cluster_id == "c"
    assert image.brokers[1].epoch == image.controller_epoch == 3
    assert image.topics["t"].topic_id == UUID(int=2)
    assert image.topics["t"].partitions[0].elr == (2,)
    assert dict(image.topic_names) == {UUID(int=2): "t"}
    assert dict(image.settings) == {("group", "g/1 ä"): {"y": "2"}}
    assert image.features == {"f": 2}
    assert dict(image.held) == {1: 1, 2: 1}
    quotas = {entity: (state.values, state.revision) for entity, state in image.quotas.items()}
    assert quotas == {APP: ({"x": 3.0}, image.revision - 2)}


def test_old_news_are_not_applied() -> None:
    log = history()
    builder = ImageBuilder(KEYS)
    builder.load(log.snapshot())
    image = builder.image
    assert not builder.apply(log.history[0])
    assert not builder.load(Snapshot(log.revision - 1, ()))
    assert builder.image is image


def test_an_image_is_never_changed_in_place() -> None:
    log = Log()
    log.topic("t", 1, 1)
    builder = ImageBuilder(KEYS)
    builder.load(log.snapshot())
    before, seen = builder.image, shown(builder.image)
    log.topic("u", 2, 1)
    for changes in log.history:
        builder.apply(changes)
    assert shown(before) == seen
    assert builder.image.topics["t"] is before.topics["t"]


def test_a_topic_without_its_partitions_is_a_bug() -> None:
    log = Log()
    value = TopicValue(name="t", topic_id=UUID(int=1), partition_count=1, settings={})
    log.write((KEYS.topic("t"), encode_topic(value)))
    with pytest.raises(Bug, match="never written"):
        ImageBuilder(KEYS).load(log.snapshot())


def test_a_newer_format_is_named() -> None:
    log = Log()
    log.write((KEYS.cluster, b'{"v":2,"id":"c"}'))
    with pytest.raises(UnknownFormat, match="/p/cluster has format 2"):
        ImageBuilder(KEYS).load(log.snapshot())
