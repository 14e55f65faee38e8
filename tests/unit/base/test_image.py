"""The cluster image's few look-ups."""

from uuid import UUID

from headrace.base.image import BrokerState, ClusterImage, Endpoint, TopicState
from headrace.base.persistent_map import PersistentMap


def test_a_topic_is_found_by_its_id_alone() -> None:
    topic = TopicState(name="t", topic_id=UUID(int=1), partitions=())
    image = ClusterImage(
        cluster_id="c",
        topics=PersistentMap[str, TopicState]().set("t", topic),
        topic_names=PersistentMap[UUID, str]().set(topic.topic_id, "t"),
    )
    assert image.topic_by_id(UUID(int=1)) is topic
    assert image.topic_by_id(UUID(int=2)) is None


def test_internal_topics_and_listeners() -> None:
    assert TopicState(name="__consumer_offsets", topic_id=UUID(int=1), partitions=()).internal
    assert not TopicState(name="__mine", topic_id=UUID(int=1), partitions=()).internal
    endpoint = Endpoint(listener="A", host="h", port=1)
    broker = BrokerState(broker_id=1, epoch=1, incarnation=UUID(int=3), endpoints=(endpoint,))
    assert broker.endpoint("A") is endpoint
    assert broker.endpoint("B") is None
