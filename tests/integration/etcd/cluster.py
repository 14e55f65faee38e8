"""Three broker processes that share a cluster over a real etcd, and requests to one of them."""

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from headrace.base.errors import Code
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.wire.versions import CREATE_TOPICS, DELETE_TOPICS, METADATA

from e2e.kafka.process import LOOPBACK, free_ports
from e2e.rig.etcd import Etcd
from tests.integration.clients import until
from tests.integration.etcd.test_broker import EtcdBroker

NODES = (1, 2, 3)
RACKS = {1: "a", 2: "b", 3: "a"}
ROOT = "/headrace/tested/"
IN_TIME = {"timeout_ms": 20_000, "validate_only": False}
_NO_MORE = {"allow_auto_topic_creation": False, "include_topic_authorized_operations": False}


class ClusterBroker(EtcdBroker):
    """One of them: with a control listener, as the operator makes brokers."""

    def __init__(self, folder: Path, etcd: Etcd, node: int, *, control: bool = True) -> None:
        own = {
            "node.id": str(node),
            "broker.rack": RACKS.get(node, "b"),
            "offsets.topic.num.partitions": "6",
        }
        super().__init__(folder / f"{node}", etcd, own)
        self.node, self.control_port = node, free_ports(1)[0]
        if control:
            self._settings["listeners"] += f",CONTROL://{LOOPBACK}:{self.control_port}"


class Cluster:
    """The brokers by id, and what etcd says about them."""

    def __init__(
        self, etcd: Etcd, folder: Path, nodes: Sequence[int] = NODES, *, control: bool = True
    ) -> None:
        self.etcd, self.folder = etcd, folder
        self.brokers = {node: ClusterBroker(folder, etcd, node, control=control) for node in nodes}

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    def mend(self) -> None:
        """Start those that do not run, and wait until each knows all of them."""
        down = [broker for broker in self.brokers.values() if broker.process is None]
        if down:
            with ThreadPoolExecutor(len(down)) as pool:
                list(pool.map(lambda broker: broker.start(), down))
        for broker in self.brokers.values():
            until(lambda broker=broker: alive(broker) == set(self.brokers), "it knows all of them")
        until(self.controller, "there is a controller")

    def registered(self) -> set[int]:
        keys = self.etcd.control("get", "--prefix", "--keys-only", f"{ROOT}brokers/").split()
        return {int(key.rpartition("/")[2]) for key in keys}

    def controller(self) -> int:
        """Its id; 0 while there is none."""
        said = self.etcd.control("get", "--print-value-only", f"{ROOT}controller")
        return int(json.loads(said)["broker"]) if said else 0

    def other(self) -> ClusterBroker:
        """One that is not controller."""
        controller = self.controller()
        return next(broker for node, broker in self.brokers.items() if node != controller)

    def kill(self) -> None:
        for broker in self.brokers.values():
            broker.kill()


def ask(
    broker: ClusterBroker,
    api_key: int,
    *,
    client_id: str = "test",
    port: int = 0,
    version_max: int | None = None,
    **fields: Any,
) -> Any:
    """One request to this broker and no other: real clients take a change to the controller."""

    async def exchange() -> Any:
        address = Address(LOOPBACK, port or broker.kafka_port)
        connection = await Connection.open(address, client_id=client_id, timeout_ms=10_000)
        try:
            return await connection.request(
                api_key, fields, version_max=version_max, timeout_ms=40_000
            )
        finally:
            connection.close()

    return asyncio.run(exchange())


def alive(broker: ClusterBroker, port: int = 0) -> set[int]:
    """The brokers that it tells clients of."""
    return {int(b.node_id) for b in ask(broker, METADATA, port=port, topics=[], **_NO_MORE).brokers}


def topic(name: str, partitions: int = 1, *on: Sequence[int]) -> dict[str, Any]:
    """One topic of CreateTopics; `on` are replicas by partition."""
    return {
        "name": name,
        "num_partitions": -1 if on else partitions,
        "replication_factor": -1,
        "assignments": [{"partition_index": n, "broker_ids": b} for n, b in enumerate(on)],
        "configs": [],
    }


def create(broker: ClusterBroker, name: str, partitions: int = 1, *on: Sequence[int]) -> Code:
    told = ask(broker, CREATE_TOPICS, topics=[topic(name, partitions, *on)], **IN_TIME)
    return Code(int(told.topics[0].error_code))


def delete(broker: ClusterBroker, name: str) -> Code:
    asked = [{"name": name, "topic_id": None}]
    told = ask(broker, DELETE_TOPICS, topics=asked, timeout_ms=20_000)
    return Code(int(told.responses[0].error_code))


def leaders(
    broker: ClusterBroker, name: str, *, auto_create: bool = False, epochs: bool = False
) -> dict[int, int]:
    """By partition, as this broker tells it; -1 where nobody leads. Epochs in place of ids."""
    told = ask(
        broker,
        METADATA,
        topics=[{"topic_id": None, "name": name}],
        **{**_NO_MORE, "allow_auto_topic_creation": auto_create},
    )
    return {
        int(p.partition_index): int(p.leader_epoch if epochs else p.leader_id)
        for p in told.topics[0].partitions
    }
