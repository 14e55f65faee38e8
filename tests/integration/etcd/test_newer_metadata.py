"""A newer Headrace changed what stands in etcd: an older broker stops, and its data stays."""

import re
from pathlib import Path

import pytest

from e2e.kafka.process import BrokerFailed
from e2e.rig.etcd import Etcd
from tests.integration.clients import create_topic, produce, read_to_end
from tests.integration.conftest import assert_no_bug
from tests.integration.etcd.test_broker import RECORDS, EtcdBroker, contents

PREFIX = "/headrace/tested/"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("topics/kept", '{"v":2}', "topics/kept has format 2, and this Headrace knows up to 1"),
        ("features/headrace.format", '{"v":1,"level":2}', "headrace.format is finalized at 2"),
    ],
)
def test_an_older_broker_stops(
    etcd: Etcd, tmp_path: Path, key: str, value: str, message: str
) -> None:
    broker = EtcdBroker(tmp_path / "data", etcd, {})
    broker.start()
    create_topic(broker, "kept")
    produce(broker, "kept", RECORDS)
    before = {name: data for name, data in contents(broker.data_dir).items() if ".log" in name}
    process, stood = broker.process, etcd.control("get", PREFIX + key, "--print-value-only")
    assert process is not None and before
    etcd.control("put", PREFIX + key, value)
    assert process.wait(30) == 1
    assert re.search(f"headrace stops: the .*{message}", broker.output())
    broker.kill()
    with pytest.raises(BrokerFailed, match=f"headrace could not start: .*{message}"):
        broker.start()
    after = contents(broker.data_dir)
    assert {name: after.get(name) for name in before} == before
    if stood:
        etcd.control("put", PREFIX + key, stood.strip())
    else:
        etcd.control("del", PREFIX + key)
    with broker:
        assert read_to_end(broker, "kept") == RECORDS
    assert_no_bug(broker.output())
