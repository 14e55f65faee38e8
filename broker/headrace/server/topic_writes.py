"""What stands in the metadata store for new topics: their partitions, and the topic that counts
them."""

from collections.abc import Iterator, Sequence

from headrace.base.image import TopicState
from headrace.meta.keys import Keys, TopicValue, encode_partition, encode_topic
from headrace.meta.store import Guard, ModRevision, Operation, Put


def value_of(topic: TopicState) -> TopicValue:
    """What is written under the topic's name."""
    return TopicValue(
        name=topic.name,
        topic_id=topic.topic_id,
        partition_count=len(topic.partitions),
        settings=topic.settings,
    )


def shares(topics: Sequence[TopicState], writes_max: int) -> Iterator[list[TopicState]]:
    """The topics in order, as many at a time as that many writes make; a large one alone."""
    share: list[TopicState] = []
    room = writes_max
    for topic in topics:
        writes = len(topic.partitions) + 1
        if share and writes > room:
            yield share
            share, room = [], writes_max
        share.append(topic)
        room -= writes
    if share:
        yield share


def whole(keys: Keys, topics: Sequence[TopicState]) -> tuple[list[Guard], list[Operation]]:
    """Everything of these topics, each key guarded by its absence: one transaction."""
    values: dict[str, bytes] = {}
    for topic in topics:
        for index, partition in enumerate(topic.partitions):
            values[keys.partition(topic.topic_id, index)] = encode_partition(partition)
        values[keys.topic(topic.name)] = encode_topic(value_of(topic))
    return [ModRevision(key, 0) for key in values], [Put(k, v) for k, v in values.items()]
