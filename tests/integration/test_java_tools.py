"""Kafka's own Java tools, each once or twice: a JVM takes a second to start."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import TopicPartition

from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import missing
from e2e.kafka.tools import run_tool
from tests.integration.clients import (
    CODEC_NAMES,
    create_topic,
    offsets,
    pairs,
    produce,
    read_to_end,
)

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.timeout(300),
]

CONFIGS = "kafka.admin.ConfigCommand"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def tool(broker: Headrace, name: str, *arguments: str) -> str:
    return run_tool(name, "--bootstrap-server", broker.bootstrap, *arguments).stdout


def told(output: str, event: str) -> Iterator[dict[str, object]]:
    """The events of that name in a verifiable tool's output, a JSON object a line."""
    for line in output.splitlines():
        if line.startswith("{") and (said := json.loads(line))["name"] == event:
            yield said


def test_topics_and_configs(broker: Headrace, topic: str) -> None:
    tool(
        broker, "TopicCommand", "--create", "--topic", topic, "--partitions", "2",
        *("--config", "retention.ms=12345"),
    )  # fmt: skip
    tool(broker, "TopicCommand", "--alter", "--topic", topic, "--partitions", "4")
    tool(
        broker, CONFIGS, "--alter", "--entity-type", "topics", "--entity-name", topic,
        *("--add-config", "cleanup.policy=compact", "--delete-config", "retention.ms"),
    )  # fmt: skip
    described = tool(broker, "TopicCommand", "--describe", "--topic", topic)
    assert "PartitionCount: 4" in described
    assert "Configs: cleanup.policy=compact" in described
    assert described.count("Leader: 1\tReplicas: 1\tIsr: 1") == 4
    configs = tool(
        broker, CONFIGS, "--describe", "--all", "--entity-type", "topics", "--entity-name", topic
    )
    assert "cleanup.policy=compact" in configs
    assert "retention.ms=604800000" in configs
    tool(broker, "TopicCommand", "--delete", "--topic", topic)
    assert topic not in tool(broker, "TopicCommand", "--list").splitlines()


def test_offsets_records_and_folders(broker: Headrace, topic: str, tmp_path: object) -> None:
    create_topic(broker, topic, 2)
    produce(broker, topic, pairs("none", 100), partition=1)
    file = f"{tmp_path}/delete.json"
    wanted = {"topic": topic, "partition": 1, "offset": 30}
    with open(file, "w") as out:
        json.dump({"partitions": [wanted], "version": 1}, out)
    deleted = tool(broker, "DeleteRecordsCommand", "--offset-json-file", file)
    assert "low_watermark: 30" in deleted
    with ThreadPoolExecutor(2) as both:
        earliest, latest = both.map(
            lambda time: tool(broker, "GetOffsetShell", "--topic", topic, "--time", time),
            ("earliest", "latest"),
        )
    assert sorted(earliest.split()) == [f"{topic}:0:0", f"{topic}:1:30"]
    assert sorted(latest.split()) == [f"{topic}:0:0", f"{topic}:1:100"]
    said = tool(broker, "LogDirsCommand", "--describe", "--topic-list", topic)
    folders = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    (folder,) = folders["brokers"][0]["logDirs"]
    assert folder["error"] is None
    sizes = {p["partition"]: p["size"] for p in folder["partitions"]}
    on_disk = sum(f.stat().st_size for f in (broker.data_dir / f"{topic}-1").glob("*.log"))
    assert sizes == {f"{topic}-0": 0, f"{topic}-1": on_disk}


def test_leader_election(broker: Headrace, topic: str) -> None:
    create_topic(broker, topic)
    said = tool(
        broker, "LeaderElectionCommand", "--election-type", "PREFERRED",
        *("--topic", topic, "--partition", "0"),
    )  # fmt: skip
    assert f"Valid replica already elected for partitions {topic}-0" in said


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_verifiable_producer(broker: Headrace, topic: str, codec: str, tmp_path: object) -> None:
    """The Java producer, idempotent as it is by default."""
    create_topic(broker, topic)
    file = f"{tmp_path}/producer.properties"
    with open(file, "w") as out:
        out.write(f"compression.type={codec}\n")
    said = tool(
        broker, "VerifiableProducer", "--topic", topic, "--max-messages", "500",
        *("--producer.config", file),
    )  # fmt: skip
    (data,) = told(said, "tool_data")
    assert (data["sent"], data["acked"]) == (500, 500)
    assert [value for _, value in read_to_end(broker, topic)] == [b"%d" % n for n in range(500)]


def test_verifiable_consumer_and_its_group(broker: Headrace, topic: str, group: str) -> None:
    """The Java consumer reads every codec; then the tool of its group."""
    create_topic(broker, topic, 2)
    for codec in CODEC_NAMES:
        for partition in range(2):
            produce(broker, topic, pairs(codec, 100), codec=codec, partition=partition)
    said = tool(
        broker, "VerifiableConsumer", "--topic", topic, "--group-id", group,
        *("--max-messages", "1000", "--reset-policy", "earliest"),
    )  # fmt: skip
    read = [p for records in told(said, "records_consumed") for p in records["partitions"]]  # type: ignore[attr-defined]
    assert sum(p["count"] for p in read) == 1000
    both = [TopicPartition(topic, p) for p in range(2)]
    assert offsets(broker, group, both) == [500, 500]
    described = tool(broker, GROUPS, "--describe", "--group", group)
    rows = [line.split() for line in described.splitlines() if line.startswith(group)]
    assert sorted(row[2:6] for row in rows) == [["0", "500", "500", "0"], ["1", "500", "500", "0"]]
    tool(
        broker, GROUPS, "--reset-offsets", "--to-earliest",
        *("--group", group, "--topic", topic, "--execute"),
    )  # fmt: skip
    assert offsets(broker, group, both) == [0, 0]
    tool(broker, GROUPS, "--delete", "--group", group)
    left = tool(broker, GROUPS, "--list")
    assert group not in left.splitlines()
