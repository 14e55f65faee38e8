"""Apache Kafka 4.3 as one combined broker and controller on loopback."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from e2e.kafka.jars import classpath
from e2e.kafka.process import LOOPBACK, BrokerFailed, BrokerProcess, free_ports

FORMAT_TIMEOUT_S = 60
# The heap and collector that Kafka's own start scripts choose (kafka-server-start.sh).
JAVA_OPTIONS = (
    "-Xms1G",
    "-Xmx1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
)


class Kafka(BrokerProcess):
    """Apache Kafka 4.3: `Kafka(data_dir, settings={"num.partitions": "4"})`.

    data_dir: an empty folder to be formatted, or one that a Kafka wrote before
    settings: broker properties that override the defaults below
    """

    name = "Apache Kafka 4.3"

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        kafka_port: int | None = None,
        java_options: tuple[str, ...] = JAVA_OPTIONS,
    ) -> None:
        super().__init__(data_dir, kafka_port=kafka_port)
        self.java_options = java_options
        self._settings = dict(settings or {})
        self._controller_port = free_ports(1)[0]
        self._properties_path = data_dir.parent / f"{data_dir.name}.properties"

    def properties(self) -> dict[str, str]:
        """The broker's properties, ours for one machine with the caller's on top."""
        defaults = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "listeners": (
                f"PLAINTEXT://{self.bootstrap},CONTROLLER://{LOOPBACK}:{self._controller_port}"
            ),
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.data_dir),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        return defaults | self._settings

    def prepare(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lines = [f"{key}={value}" for key, value in self.properties().items()]
        self._properties_path.write_text("\n".join(lines) + "\n")
        if (self.data_dir / "meta.properties").exists():
            return
        # The first character stays a letter: the tool takes a leading "-" for another option.
        cluster_id = "A" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:].rstrip("=")
        done = subprocess.run(
            [
                "java",
                *("-cp", classpath(), "kafka.tools.StorageTool", "format"),
                *("--cluster-id", cluster_id, "--config", str(self._properties_path)),
            ],
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise BrokerFailed(f"Kafka's folder could not be formatted: {done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        java = ["java", *self.java_options, "-cp", classpath()]
        return [*java, "kafka.Kafka", str(self._properties_path)]
