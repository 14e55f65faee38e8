"""What the operator reads of a real broker over HTTP: one side's fields are the other's."""

import json

import pytest
from headrace.base.version import VERSION
from headrace_operator.observe.http import read_reports
from headrace_operator.plan.observed_cluster import Report

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
