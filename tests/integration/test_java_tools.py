"""Kafka's own command line tools, version 4.3, from Maven Central."""

import json
from pathlib import Path

import pytest

from e2e.kafka.tools import run_tool

pytestmark = pytest.mark.needs("kafka")

CONSUMER_GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def tool(main: str, bootstrap: str, *words: str, flag: str = "--bootstrap-server") -> str:
    return run_tool(main, flag, bootstrap, *words).stdout


def test_topics_configs_and_elections(bootstrap: str, name: str) -> None:
    created = tool(
        "TopicCommand", bootstrap, "--create", "--topic", name, "--partitions", "3",
        "--config", "retention.ms=60000",
    )  # fmt: skip
    assert f"Created topic {name}." in created
    tool("TopicCommand", bootstrap, "--alter", "--topic", name, "--partitions", "4")
    described = tool("TopicCommand", bootstrap, "--describe", "--topic", name)
    assert "PartitionCount: 4" in described
    assert "retention.ms=60000" in described
    words = ("--entity-type", "topics", "--entity-name", name)
    tool("kafka.admin.ConfigCommand", bootstrap, "--alter", *words, "--add-config", "flush.ms=7")
    shown = tool("kafka.admin.ConfigCommand", bootstrap, "--describe", *words)
    assert "flush.ms=7" in shown
    election = tool(
        "LeaderElectionCommand", bootstrap, "--election-type", "preferred", "--topic", name,
        "--partition", "0",
    )  # fmt: skip
    assert "Valid replica already elected" in election
    tool("TopicCommand", bootstrap, "--delete", "--topic", name)
    assert name not in tool("TopicCommand", bootstrap, "--list").split()


def test_verifiable_producer_and_consumer(bootstrap: str, name: str) -> None:
    made = tool(
        "VerifiableProducer", bootstrap, "--topic", name, "--max-messages", "500",
        "--throughput", "-1",
    )  # fmt: skip
    events = [json.loads(line) for line in made.splitlines() if line.startswith("{")]
    assert sum(e["name"] == "producer_send_success" for e in events) == 500
    read = tool(
        "VerifiableConsumer", bootstrap, "--topic", name, "--group-id", name,
        "--max-messages", "500", "--reset-policy", "earliest",
    )  # fmt: skip
    events = [json.loads(line) for line in read.splitlines() if line.startswith("{")]
    assert sum(e.get("count", 0) for e in events if e["name"] == "records_consumed") == 500
    assert any(e["name"] == "offsets_committed" and e["success"] for e in events)
    group = tool(CONSUMER_GROUPS, bootstrap, "--describe", "--group", name)
    rows = [line.split() for line in group.splitlines() if name in line.split()[:1]]
    assert sum(int(row[3]) for row in rows) == 500, group
    assert all(row[5] == "0" for row in rows), group
    reset = tool(
        CONSUMER_GROUPS, bootstrap, "--reset-offsets", "--group", name, "--topic", name,
        "--to-earliest", "--execute",
    )  # fmt: skip
    assert name in reset


def test_offsets_and_deleted_records(bootstrap: str, name: str, tmp_path: Path) -> None:
    tool(
        "VerifiableProducer", bootstrap, "--topic", name, "--max-messages", "100",
        "--throughput", "-1", "--acks", "-1",
    )  # fmt: skip
    offsets = tool("GetOffsetShell", bootstrap, "--topic", name)
    ends = {int(p): int(o) for _, p, o in (line.split(":") for line in offsets.split())}
    assert sum(ends.values()) == 100
    asked = tmp_path / "delete.json"
    place = {"topic": name, "partition": 0, "offset": ends[0]}
    asked.write_text(json.dumps({"version": 1, "partitions": [place]}))
    deleted = tool("DeleteRecordsCommand", bootstrap, "--offset-json-file", str(asked))
    assert f"low_watermark: {ends[0]}" in deleted
    early = tool("GetOffsetShell", bootstrap, "--topic", name, "--time", "earliest")
    assert f"{name}:0:{ends[0]}" in early.split()


def test_log_dirs(bootstrap: str, name: str) -> None:
    tool("TopicCommand", bootstrap, "--create", "--topic", name, "--partitions", "2")
    told = tool("LogDirsCommand", bootstrap, "--describe", "--topic-list", name)
    (answer,) = (json.loads(line) for line in told.splitlines() if line.startswith("{"))
    (broker,) = answer["brokers"]
    (folder,) = broker["logDirs"]
    assert folder["error"] is None
    assert sorted(p["partition"] for p in folder["partitions"]) == [f"{name}-0", f"{name}-1"]
