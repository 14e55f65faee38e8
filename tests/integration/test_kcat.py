"""kcat, the universal smoke test: it and librdkafka read each other with every codec."""

import json
import subprocess

import pytest
from confluent_kafka import TopicPartition

from e2e.kafka.headrace import Headrace
from tests.integration.clients import (
    CODEC_NAMES,
    DEADLINE_S,
    codecs_on_disk,
    create_topic,
    offsets,
    pairs,
    produce,
    read_to_end,
)
from tests.integration.conftest import PARTITIONS, needs

pytestmark = needs("kcat")


def kcat(broker: Headrace, *arguments: str, text: bytes = b"", check: bool = True) -> bytes:
    done = subprocess.run(
        ["kcat", "-b", broker.bootstrap, *arguments],
        input=text,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout if check else done.stderr


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_writes_with_every_codec(broker: Headrace, topic: str, codec: str) -> None:
    create_topic(broker, topic)
    lines = [(b"k%d" % n, b"line %d of kcat " % n * (n % 30 + 1)) for n in range(300)]
    text = b"".join(b"%b|%b\n" % line for line in lines)
    kcat(broker, "-P", "-t", topic, "-p", "0", "-K|", "-z", codec, text=text)
    assert read_to_end(broker, topic) == lines
    # librdkafka leaves a batch as it is where compressing would not make it smaller.
    assert codec in codecs_on_disk(broker, topic) <= {codec, "none"}


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_reads_with_every_codec(broker: Headrace, topic: str, codec: str) -> None:
    create_topic(broker, topic)
    produce(broker, topic, pairs(codec), codec=codec)
    out = kcat(broker, "-C", "-t", topic, "-p", "0", "-e", "-q", "-f", r"%o %k %R%s")
    expected = b"".join(
        b"%d %b " % (n, key) + len(value).to_bytes(4, "big") + value
        for n, (key, value) in enumerate(pairs(codec))
        if key is not None and value is not None
    )
    assert out == expected


def test_a_topic_is_made_on_first_use_with_num_partitions(broker: Headrace, topic: str) -> None:
    kcat(broker, "-P", "-t", topic, text=b"first\n")
    listing = json.loads(kcat(broker, "-L", "-J", "-t", topic))
    (found,) = listing["topics"]
    assert found["topic"] == topic
    assert sorted(p["partition"] for p in found["partitions"]) == list(range(PARTITIONS))
    assert [b["id"] for b in listing["brokers"]] == [1]
    everything = kcat(broker, "-C", "-t", topic, "-e", "-q", "-o", "beginning")
    assert everything == b"first\n"


def test_offsets_timestamps_headers_and_tombstones(broker: Headrace, topic: str) -> None:
    create_topic(broker, topic)
    kcat(broker, "-P", "-t", topic, "-H", "a=1", "-H", "b=", text=b"with headers\n")
    kcat(broker, "-P", "-t", topic, "-K|", "-Z", text=b"gone|\n")
    kcat(broker, "-P", "-t", topic, text=b"last\n")
    said = kcat(broker, "-C", "-t", topic, "-e", "-q", "-J")
    first, second, third = map(json.loads, said.splitlines())
    assert first["headers"] == ["a", "1", "b", ""]
    assert (second["key"], second["payload"], third["payload"]) == ("gone", None, "last")
    assert kcat(broker, "-C", "-t", topic, "-e", "-q", "-o", "-1") == b"last\n"
    asked = kcat(broker, "-Q", "-t", f"{topic}:0:{third['ts']}").decode()
    by_time = int(asked.rpartition(" ")[2])
    assert [first, second, third][by_time]["ts"] >= third["ts"]
    assert by_time == 0 or [first, second, third][by_time - 1]["ts"] < third["ts"]


def test_a_balanced_consumer_commits_what_it_read(broker: Headrace, topic: str, group: str) -> None:
    create_topic(broker, topic)
    produce(broker, topic, pairs("none", 50))
    said = kcat(broker, "-G", group, "-e", "-q", "-o", "beginning", "-f", "%o\n", topic)
    assert said.split() == [b"%d" % n for n in range(50)]
    assert offsets(broker, group, [TopicPartition(topic, 0)]) == [50]


def test_an_unknown_partition_is_an_error_and_not_a_wait(broker: Headrace, topic: str) -> None:
    create_topic(broker, topic)
    said = kcat(broker, "-P", "-t", topic, "-p", "7", text=b"nowhere\n", check=False)
    assert b"Unknown partition" in said
