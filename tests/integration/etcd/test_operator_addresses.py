"""The operator tells a real broker another address while it runs: its own code from end to end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from headrace.client.address import Address
from headrace_operator.admin import Admin
from headrace_operator.cluster_brokers import alter_addresses, ask_brokers
from headrace_operator.errors import Refused
from headrace_operator.plan.cluster_actions import AlterBrokerAddresses

from e2e.kafka.process import LOOPBACK, free_ports
from e2e.rig.etcd import Etcd
from tests import cluster_world as world
from tests.integration.clients import until
from tests.integration.etcd.test_addresses import advertised
from tests.integration.etcd.test_broker import EtcdBroker

BALANCED = {"name": "out", "type": "LoadBalancer", "port": 9095}
INTERNAL = {"name": "internal", "type": "Internal", "port": 9092}


async def test_an_address_is_told_seen_and_taken_back(etcd: Etcd, tmp_path: Path) -> None:
    inner, outer = free_ports(2)
    inside = f"PLAINTEXT://{LOOPBACK}:{inner}"
    settings = {
        "listeners": f"{inside},OUT://{LOOPBACK}:{outer}",
        "advertised.listeners": inside,
    }
    cluster = world.cluster(world.pool(replicas=1), listeners=[INTERNAL, BALANCED])
    seen = world.fresh(cluster, reports={1: world.report(1, 1, "h")})
    admin = Admin(lambda namespace, name: (Address(LOOPBACK, inner),))
    context: Any = SimpleNamespace(admin=admin)
    with EtcdBroker(tmp_path / "data", etcd, settings, inner) as broker:
        pid = broker.pid
        assert (await ask_brokers(context, seen)).own_addresses == {1: None}
        value = f"{inside},OUT://[fd00::9]:9095"
        await alter_addresses(context, cluster, AlterBrokerAddresses(broker=1, value=value))
        assert (await ask_brokers(context, seen)).own_addresses == {1: value}
        until(lambda: advertised(outer) == ["fd00::9:9095"], "clients are told")
        with pytest.raises(Refused, match="broker 1 refused its addresses"):
            wrong = AlterBrokerAddresses(broker=1, value="AWAY://h:1")
            await alter_addresses(context, cluster, wrong)
        await alter_addresses(context, cluster, AlterBrokerAddresses(broker=1, value=None))
        assert (await ask_brokers(context, seen)).own_addresses == {1: None}
        assert broker.pid == pid
    admin.close()
