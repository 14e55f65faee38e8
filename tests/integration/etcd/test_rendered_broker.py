"""The very file that the operator renders for a pod, and the pod's environment, start a broker."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from headrace.base.errors import Code
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.wire.versions import ALTER_CLIENT_QUOTAS, CREATE_TOPICS, METADATA
from headrace_operator.build import broker as build
from headrace_operator.build import names
from headrace_operator.build.broker import RenderedBroker, render_broker
from headrace_operator.build.broker_settings import split
from headrace_operator.build.facts import Broker, Facts
from headrace_operator.kinds import Object

from e2e.kafka.headrace import executable
from e2e.kafka.process import LOOPBACK, BrokerProcess, free_ports
from e2e.rig.etcd import Etcd
from tests import cluster_world as world
from tests.integration.conftest import assert_no_bug

NODE = {"spec.nodeName": "node-a", "status.hostIP": LOOPBACK}
"""What Kubernetes would fill in; without a zone's label, as before 1.35."""
CONTROL_HOST = "prod-a-0-0.prod-brokers.kafka.svc"


class Pod(BrokerProcess):
    """The container's command, in its environment, with its file where it can be read."""

    name = "headrace broker"

    def __init__(self, data_dir: Path, rendered: RenderedBroker, kafka_port: int) -> None:
        super().__init__(data_dir, kafka_port=kafka_port)
        self._file = data_dir.with_suffix(".properties")
        self._text = rendered.config_map["data"][build.CONFIG_FILE]
        self._container = container(rendered)

    def prepare(self) -> None:
        self._file.write_text(self._text)

    def command(self) -> list[str]:
        program, *rest, file = self._container["command"]
        assert (program, file) == ("headrace", f"{build.CONFIG_FOLDER}/{build.CONFIG_FILE}")
        return [str(executable()), *rest, str(self._file)]


def container(rendered: RenderedBroker) -> Object:
    (found,) = rendered.stateful_set["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(rendered: RenderedBroker) -> dict[str, str]:
    """As the kubelet sets it; a field that is not there is empty."""
    return {
        item["name"]: item["value"]
        if "value" in item
        else NODE.get(item["valueFrom"]["fieldRef"]["fieldPath"], "")
        for item in container(rendered)["env"]
    }


@pytest.fixture
def rendered(
    etcd: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[RenderedBroker, dict[str, int]]:
    """A broker with three listeners and an etcd with TLS, and the ports they have here."""
    port = dict(zip(("CONTROL", "INTERNAL", "OUT", "http"), free_ports(4), strict=True))
    secret = tmp_path / "etcd-secret"
    secret.mkdir()
    assert etcd.authority is not None
    for file, key in (("ca.crt", "ca.crt"), ("client.crt", "tls.crt"), ("client.key", "tls.key")):
        shutil.copy(etcd.authority.folder / file, secret / key)
    for constant, value in (
        ("CONTROL_PORT", port["CONTROL"]),
        ("HTTP_PORT", port["http"]),
        ("ETCD_FOLDER", str(secret)),
        ("DATA_FOLDER", str(tmp_path / "volume")),
    ):
        monkeypatch.setattr(build, constant, value)
    cluster = world.cluster(
        world.pool(replicas=1),
        etcd={"external": {"endpoints": list(etcd.endpoints), "secret": "etcd"}},
        listeners=[
            {"name": "internal", "type": "Internal", "port": port["INTERNAL"]},
            {"name": "out", "type": "NodePort", "port": port["OUT"]},
        ],
        config={"num.partitions": "3", "offsets.topic.num.partitions": "2"},
    )
    facts = Facts(
        broker_image="headrace/broker:0.1.0",
        etcd_image="headrace/etcd:3.6.16",
        operator_namespace="headrace-system",
        brokers=(),
        node_ports={names.listener_service("prod", "out", 0): 30_123},
        etcd_secret_keys=frozenset({"ca.crt", "tls.crt", "tls.key"}),
    )
    broker = Broker(pool=cluster.spec.pools[0], id=0)
    found = render_broker(cluster, broker, split(cluster.spec.config), facts)
    assert isinstance(found, RenderedBroker), found
    for key, value in environment(found).items():
        monkeypatch.setenv(key, value)
    return found, port


def status(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/status", timeout=10) as answer:
        said: dict[str, Any] = json.load(answer)
    return said


async def connect(port: int) -> Connection:
    return await Connection.open(Address(LOOPBACK, port), client_id="c", timeout_ms=10_000)


async def create(connection: Connection, name: str) -> Code:
    """The code that a topic of three partitions is answered with."""
    topic = {"name": name, "num_partitions": 3, "replication_factor": 1}
    asked = {"topics": [topic | {"assignments": [], "configs": []}], "timeout_ms": 10_000}
    answer = await connection.request(CREATE_TOPICS, asked | {"validate_only": False})
    return Code(answer.topics[0].error_code)


async def test_it_starts_and_tells_each_listener_its_own_address(
    rendered: tuple[RenderedBroker, dict[str, int]], etcd: Etcd, tmp_path: Path
) -> None:
    made, port = rendered
    with Pod(tmp_path / "broker", made, port["INTERNAL"]) as pod:
        said = status(port["http"])
        assert (said["ready"], said["broker_id"]) == (True, 0)
        assert said["config_hash"] == made.pod_hash
        registered = json.loads(
            etcd.control("get", "/headrace/kafka.prod/brokers/0", "--print-value-only")
        )
        assert registered["rack"] == "node-a", "the node is the zone where there is no label"
        assert registered["endpoints"] == [
            ["CONTROL", CONTROL_HOST, port["CONTROL"]],
            ["INTERNAL", CONTROL_HOST, port["INTERNAL"]],
            ["OUT", LOOPBACK, 30_123],
        ]
        for name, host, number in registered["endpoints"]:
            connection = await connect(port[name])
            asked = {"topics": [], "allow_auto_topic_creation": False}
            (told,) = (await connection.request(METADATA, asked, version_max=7)).brokers
            assert (told.host, told.port) == (host, number)
            connection.close()
        assert (tmp_path / "volume" / "data" / "meta.properties").exists()
    assert_no_bug(pod.output())


async def test_quotas_leave_its_control_listener_alone(
    rendered: tuple[RenderedBroker, dict[str, int]], tmp_path: Path
) -> None:
    made, port = rendered
    with Pod(tmp_path / "broker", made, port["INTERNAL"]) as pod:
        control, outside = await connect(port["CONTROL"]), await connect(port["OUT"])
        entity = [{"entity_type": "user", "entity_name": None}]
        ops = [{"key": "controller_mutation_rate", "value": 0.1, "remove": False}]
        entries = [{"entity": entity, "ops": ops}]
        set_to = await control.request(
            ALTER_CLIENT_QUOTAS, {"entries": entries, "validate_only": False}
        )
        assert set_to.entries[0].error_code == Code.NONE
        assert await create(outside, "first") is Code.NONE
        assert await create(outside, "second") is Code.THROTTLING_QUOTA_EXCEEDED
        codes = [await create(control, f"control-{number}") for number in range(3)]
        assert codes == [Code.NONE] * 3
        control.close()
        outside.close()
    assert_no_bug(pod.output())


async def test_a_node_of_ipv6_alone_is_told_as_its_address(
    rendered: tuple[RenderedBroker, dict[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kubernetes gives status.hostIP bare; clients are told it bare, beside the port."""
    made, port = rendered
    monkeypatch.setenv("HOST_IP", "::1")
    with Pod(tmp_path / "broker", made, port["INTERNAL"]):
        address = Address("::1", port["OUT"])
        connection = await Connection.open(address, client_id="c", timeout_ms=10_000)
        asked = {"topics": [], "allow_auto_topic_creation": False}
        (told,) = (await connection.request(METADATA, asked, version_max=7)).brokers
        assert (told.host, told.port) == ("::1", 30_123)
        connection.close()
