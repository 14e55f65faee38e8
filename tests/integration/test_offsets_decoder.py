"""Kafka's DumpLogSegments with its offsets decoder reads our group offsets and memberships."""

import json
import re
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import missing
from e2e.kafka.tools import run_tool
from tests.integration.clients import create_topic, produce
from tests.integration.conftest import MakeBroker

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.timeout(120),
]

COUNT = 20


def commit(broker: Headrace, topic: str, group: str) -> None:
    """Join, read all and commit, as a member of the group."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    read = 0
    while read < COUNT:
        messages = consumer.consume(COUNT, timeout=30)
        assert messages
        read += len(messages)
    consumer.commit(asynchronous=False)
    consumer.close()


def decoded(folder: Path) -> list[tuple[dict[str, object], dict[str, object] | None]]:
    """(key, value) of each record as the tool tells them, None for a tombstone's value."""
    files = ",".join(str(file) for file in sorted(folder.glob("*.log")))
    done = run_tool("DumpLogSegments", "--offsets-decoder", "--files", files)
    said = done.stdout + done.stderr
    assert "isvalid: false" not in said and "rror" not in said, said
    lines = re.findall(r"^\| offset: .* key: (.*) payload: (.*)$", said, re.MULTILINE)
    assert len(lines) == said.count("| offset: "), said
    return [(json.loads(key), json.loads(value)) for key, value in lines]


def test_kafka_decodes_our_offsets_topic(make_broker: MakeBroker) -> None:
    broker = make_broker()
    create_topic(broker, "read")
    produce(broker, "read", [(b"k", b"v")] * COUNT)
    commit(broker, "read", "readers")
    broker.stop()
    held = [f for f in broker.data_dir.glob("__consumer_offsets-*") if _bytes(f)]
    assert len(held) == 1, "one group is in one partition"
    found = decoded(held[0])
    offsets = [value for key, value in found if key["type"] == "1"]
    assert offsets and offsets[-1] is not None
    assert offsets[-1]["data"]["offset"] == COUNT  # type: ignore[index]
    groups = [value for key, value in found if key["type"] == "2"]
    members = [len(value["data"]["members"]) for value in groups if value]  # type: ignore[index,arg-type]
    assert 1 in members, "it was a member"
    assert {key["data"]["group"] for key, _ in found} == {"readers"}  # type: ignore[index]


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.log"))
