"""kafka-python; its own integration tests run in `make compat`."""

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic


def test_produce_and_consume(bootstrap: str, name: str) -> None:
    values = [b"%d" % i for i in range(500)]
    for codec in (None, "gzip"):
        producer = KafkaProducer(
            bootstrap_servers=bootstrap, compression_type=codec, enable_idempotence=codec is None
        )
        sent = [producer.send(name, value, partition=0) for value in values]
        assert [future.get(20).offset for future in sent] == list(
            range(sent[0].get().offset, sent[0].get().offset + len(values))
        )
        producer.close()
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000
    )
    consumer.assign([TopicPartition(name, 0)])
    came = [next(consumer).value for _ in range(2 * len(values))]
    consumer.close()
    assert came == values * 2


def test_topics_and_groups(bootstrap: str, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(name, 3, 1)])
    assert name in admin.list_topics()
    consumer = KafkaConsumer(name, bootstrap_servers=bootstrap, group_id=name)
    for _ in range(200):
        consumer.poll(timeout_ms=100)
        if len(consumer.assignment()) == 3:
            break
    assert len(consumer.assignment()) == 3
    consumer.close()
    admin.delete_topics([name])
    assert name not in admin.list_topics()
    admin.close()
