"""/status: what a broker says of itself, from the first moment on."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from headrace.base.version import VERSION
from headrace.server.broker import Broker
from headrace.server.status import CONFIG_HASH, Status

from e2e.kafka.process import free_ports
from tests.unit.server.admin_rig import running


async def ask(broker: Broker) -> tuple[int, dict[str, Any]]:
    url = f"http://127.0.0.1:{broker.http_port}/status"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.json()


async def test_a_ready_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_HASH, "abc123")
    async with running(tmp_path / "d", node_id="7", http_port="0") as rig:
        await rig.create("t", 3)
        code, said = await ask(rig.broker)
        state = rig.broker.metadata.image.brokers[7]
        age_s = said.pop("metadata_age_seconds")
    assert code == 200 and 0 <= age_s < 60
    assert UUID(said.pop("incarnation")) == state.incarnation
    assert said == {
        "broker_id": 7,
        "cluster_id": rig.broker.cluster_id,
        "broker_epoch": state.epoch,
        "config_hash": "abc123",
        "version": VERSION,
        "ready": True,
        "progress": "ready",
        "partitions": 3,
    }


async def test_before_its_metadata_it_says_what_it_knows(tmp_path: Path) -> None:
    async with running(tmp_path / "d") as rig:
        cluster_id = rig.broker.cluster_id
    broker = Broker(
        {
            "log.dirs": str(tmp_path / "d"),
            "listeners": "PLAINTEXT://127.0.0.1:0",
            "http.port": "0",
            "metadata.store": "etcd",
            "etcd.endpoints": f"127.0.0.1:{free_ports(1)[0]}",
        }
    )
    starting = asyncio.create_task(broker.start())
    async with asyncio.timeout(10):
        while "waiting for the metadata store" not in broker.progress:
            assert not starting.done()
            await asyncio.sleep(0)
    code, said = await ask(broker)
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    await broker.close()
    assert code == 200
    assert (said["ready"], said["broker_epoch"], said["partitions"]) == (False, -1, 0)
    assert (said["broker_id"], said["cluster_id"]) == (1, cluster_id)
    assert said["progress"].startswith("waiting for the metadata store: etcd at 127.0.0.1:")
    assert said["metadata_age_seconds"] is None


def test_each_start_is_another_incarnation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_HASH, raising=False)
    one, other = (Status(broker_id=1).describe(ready=False) for _ in range(2))
    assert one["incarnation"] != other["incarnation"]
    assert one["config_hash"] == ""
