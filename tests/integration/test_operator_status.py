"""What the operator reads of a real broker over HTTP: one side's fields are the other's."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL

import pytest
from headrace.base.version import VERSION
from headrace_operator.observe.http import read_reports
from headrace_operator.plan.cluster import plan_cluster
from headrace_operator.plan.cluster_units import WAITS_FOR_ETCD
from headrace_operator.plan.observed_cluster import Report

from e2e.kafka.headrace import Headrace
from e2e.kafka.process import free_ports
from tests import cluster_world as world
from tests.integration.conftest import MakeBroker
from tests.integration.test_http import http, of, scrape


async def test_the_operator_takes_a_brokers_own_report(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CONFIG_HASH", "0f1e2d")
    broker = make_broker({"node.id": "3"})
    status, text = http(broker, "/status")
    said = json.loads(text)
    assert (status, said["ready"]) == (200, True)
    reports = await read_reports({3: "127.0.0.1"}, port=broker.http_port)
    assert reports == {
        3: Report(
            broker_id=3,
            epoch=said["broker_epoch"],
            config_hash="0f1e2d",
            ready=True,
            version=VERSION,
            cluster_id=said["cluster_id"],
            progress="ready",
        )
    }
    assert said["broker_epoch"] > 0 and len(said["cluster_id"]) == 22

    broker.stop()
    assert await read_reports({3: "127.0.0.1"}, port=broker.http_port) == {}
    broker.start()
    again = (await read_reports({3: "127.0.0.1"}, port=broker.http_port))[3]
    assert again.epoch > said["broker_epoch"], "it registered anew"
    assert json.loads(http(broker, "/status")[1])["incarnation"] != said["incarnation"]


def test_the_age_of_the_metadata_is_a_metric_too(make_broker: MakeBroker) -> None:
    broker = make_broker()
    assert 0 <= of(scrape(broker), "headrace_metadata_age_seconds") < 60


async def test_a_broker_without_its_etcd_says_what_it_waits_for(tmp_path: Path) -> None:
    """And the Cluster says it with the cure, and recovers by itself (tests of the plan)."""
    [port] = free_ports(1)
    settings = {"metadata.store": "etcd", "etcd.endpoints": f"127.0.0.1:{port}", "node.id": "0"}
    broker = Headrace(tmp_path / "data", settings=settings)
    process = await asyncio.create_subprocess_exec(
        *broker.command(), stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            reports: dict[int, Report] = {}
            while not (reports and reports[0].progress.startswith(WAITS_FOR_ETCD)):
                reports = await read_reports({0: "127.0.0.1"}, port=broker.http_port)
        assert process.returncode is None and not reports[0].ready
    finally:
        process.kill()
        await process.wait()
    etcd = {"external": {"endpoints": [f"127.0.0.1:{port}"], "secret": "etcd"}}
    wanted = world.cluster(world.pool(replicas=1), etcd=etcd)
    first = world.fresh(wanted, etcd_secret_keys=frozenset({"ca.crt"}))
    observed = world.started(world.applied(first, plan_cluster(first).actions))
    here = replace(reports[0], config_hash=observed.reports[0].config_hash)
    said = plan_cluster(replace(observed, reports={0: here})).verdict.message
    assert f"etcd at 127.0.0.1:{port} did not answer" in said
    assert "spec.etcd.external.endpoints" in said
