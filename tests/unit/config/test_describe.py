"""Sources and synonyms of settings, in Kafka's order."""

from headrace.config.describe import (
    Described,
    Layers,
    Source,
    describe_broker,
    describe_cluster_default,
    describe_topic,
)


def one(described: tuple[Described, ...], name: str) -> Described:
    (found,) = [d for d in described if d.name == name]
    return found


def test_a_topic_shows_where_each_value_comes_from() -> None:
    layers = Layers(
        static={"message.max.bytes": "1"},
        cluster={"message.max.bytes": "2"},
        broker={"message.max.bytes": "3"},
    )
    found = one(describe_topic(layers, {"max.message.bytes": "4"}), "max.message.bytes")
    assert found.value == "4"
    assert [(s.value, s.source) for s in found.synonyms] == [
        ("4", Source.TOPIC),
        ("3", Source.BROKER),
        ("2", Source.BROKER_DEFAULT),
        ("1", Source.STATIC),
        ("1048588", Source.DEFAULT),
    ]
    assert one(describe_topic(layers, {}), "max.message.bytes").source is Source.BROKER


def test_a_key_without_a_default_of_its_own_has_no_synonyms_until_it_is_set() -> None:
    assert one(describe_topic(Layers(), {}), "retention.ms").synonyms == ()
    by_hours = one(describe_topic(Layers(static={"log.retention.hours": "1"}), {}), "retention.ms")
    assert (by_hours.value, by_hours.source, by_hours.synonyms) == ("3600000", Source.DEFAULT, ())
    by_ms = one(describe_topic(Layers(static={"log.retention.ms": "9"}), {}), "retention.ms")
    assert [(s.name, s.source) for s in by_ms.synonyms] == [
        ("log.retention.ms", Source.STATIC),
        ("log.retention.hours", Source.DEFAULT),
    ]


def test_a_broker_shows_all_and_the_cluster_default_only_what_is_set() -> None:
    layers = Layers(cluster={"max.connections": "5"}, static={"num.partitions": "2"})
    broker = describe_broker(layers)
    assert one(broker, "num.partitions").read_only
    assert one(broker, "num.partitions").source is Source.STATIC
    assert one(broker, "max.connections").value == "5"
    assert not one(broker, "max.connections").read_only
    assert [(d.name, d.value, d.source) for d in describe_cluster_default(layers)] == [
        ("max.connections", "5", Source.BROKER_DEFAULT)
    ]
