"""Every metric that an alert names is one that something really exposes."""

import asyncio
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from headrace_operator.build.monitoring import render_monitoring
from headrace_operator.clock import SystemClock
from headrace_operator.kinds import CLUSTER
from headrace_operator.metrics import Metrics
from headrace_operator.queue import Queue
from headrace_operator.settings import Settings
from headrace_operator.store import Store
from headrace_operator.watched import watched

from tests import cluster_world as world
from tests.integration.conftest import MakeBroker, needs
from tests.integration.test_chart import GOLDEN
from tests.integration.test_http import http
from tests.managed_etcd import LoopbackEtcd

OTHERS = {"up", "kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes"}
"""Made by Prometheus and by kubelets (Kubernetes' metrics reference, both STABLE or ALPHA)."""
CLUSTER_RESOURCE = world.cluster(
    etcd={"managed": {"members": 1, "storage": {"size": "1Gi"}}},
    monitoring={"podMonitor": True, "prometheusRule": True},
)


def named(rule: Any) -> set[str]:
    """The metrics in the expressions of a PrometheusRule."""
    rules = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    assert rules
    words = [re.findall(r"([a-z][a-z0-9_]+)(?=\{)", one["expr"]) for one in rules]
    assert all(words), "an expression without a metric"
    return {word for found in words for word in found}


def exposed(page: str) -> set[str]:
    return set(re.findall(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)[ {]", page, re.MULTILINE))


def page_of(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@needs("go")
@pytest.mark.timeout(600)
async def test_alerts_of_a_cluster(make_broker: MakeBroker, tmp_path: Path) -> None:
    [rule] = [o for o in render_monitoring(CLUSTER_RESOURCE) if o["kind"] == "PrometheusRule"]
    known = OTHERS | exposed(http(make_broker(), "/metrics")[1])
    etcd = LoopbackEtcd(tmp_path, CLUSTER_RESOURCE)
    with etcd.running("new"):
        await etcd.all_answer()
        url = f"http://127.0.0.1:{etcd.metrics_port}/metrics"
        known |= exposed(await asyncio.to_thread(page_of, url))
    assert named(rule) - known == set()
    assert len(named(rule)) > 8


def test_alerts_about_the_operator() -> None:
    [rule] = [
        one
        for one in yaml.safe_load_all((GOLDEN / "everything.yaml").read_text())
        if one and one["kind"] == "PrometheusRule"
    ]
    store = Store({each.kind: each.owners for each in watched(Settings())})
    queue = Queue(clock=SystemClock(), jitter=lambda: 0.0, lane_of=str, workers=1, lane_workers=1)
    metrics = Metrics()
    metrics.reconciled(CLUSTER, "done", 0.1)
    page = metrics.render(store, queue, leading=True).decode()
    assert named(rule) - exposed(page) == set()
