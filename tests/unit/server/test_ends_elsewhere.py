"""Ends of partitions led elsewhere: a real broker is the leader that is asked."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from headrace.base.image import BrokerState, ClusterImage, Endpoint
from headrace.base.persistent_map import PersistentMap
from headrace.config.broker import BrokerSettings
from headrace.server import ends_elsewhere
from headrace.server.ends_elsewhere import EndsElsewhere
from headrace.wire.records import NewRecord, build_batch

from tests.unit.server.admin_rig import Rig, running


class Here:
    """What a broker 1 knows of the cluster."""

    node_id = 1

    def __init__(self, image: ClusterImage) -> None:
        self.image = image
        self.settings = BrokerSettings()

    def at(self, leader: BrokerState) -> None:
        self.image = replace(
            self.image, brokers=PersistentMap[int, BrokerState]().set(leader.broker_id, leader)
        )


@pytest_asyncio.fixture
async def leader(tmp_path: Path) -> AsyncIterator[Rig]:
    listeners = "PLAINTEXT://127.0.0.1:0,CONTROL://127.0.0.1:0"
    async with running(tmp_path / "d", node_id="2", listeners=listeners) as rig:
        await rig.create("t", 450)
        yield rig


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends_elsewhere, "_EVERY_S", 0.01)


async def append(rig: Rig, index: int, records: int) -> None:
    partition = rig.broker.partitions.get("t", index)
    assert partition is not None
    for _ in range(records):
        partition.append_as_leader(build_batch([NewRecord(b"k", b"v", 1_750_000_000_000)]), 0)


async def until(ends: EndsElsewhere, index: int, wanted: int | None) -> None:
    async with asyncio.timeout(10):
        while True:
            if ends.get("t", index) == wanted:
                return
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("often")
async def test_a_scrape_learns_what_leaders_told_since_the_one_before(leader: Rig) -> None:
    await append(leader, 449, 3)
    here = Here(leader.broker.metadata.image)
    ends = EndsElsewhere(here)
    ends.want([("t", index) for index in range(450)] + [("gone", 0), ("t", 9999)])
    assert ends.get("t", 449) is None, "nothing is waited for"
    await until(ends, 449, 3)
    assert [ends.get("t", index) for index in (0, 200, 448)] == [0, 0, 0]
    assert ends.get("gone", 0) is None and ends.get("t", 9999) is None
    await append(leader, 7, 2)
    await until(ends, 7, 2)
    await ends.close()


@pytest.mark.usefixtures("often")
async def test_the_control_listener_is_asked_where_there_is_one(leader: Rig) -> None:
    here = Here(leader.broker.metadata.image)
    state = here.image.brokers[2]
    plain, control = state.endpoints
    nowhere = replace(plain, host="a..b")
    here.at(replace(state, endpoints=(nowhere, control)))
    ends = EndsElsewhere(here)
    ends.want([("t", 0)])
    await until(ends, 0, 0)
    await ends.close()
    here.at(replace(state, endpoints=(plain,)))
    ends = EndsElsewhere(here)
    ends.want([("t", 0)])
    await until(ends, 0, 0)
    await ends.close()


@pytest.mark.usefixtures("often")
async def test_what_is_not_told_any_more_is_not_known(
    leader: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_elsewhere, "_KNOWN_S", 0.2)
    here = Here(leader.broker.metadata.image)
    state = here.image.brokers[2]
    ends = EndsElsewhere(here)
    ends.want([("t", 0)])
    await until(ends, 0, 0)
    here.at(replace(state, endpoints=(Endpoint(listener="CONTROL", host="a..b", port=1),)))
    await until(ends, 0, None)
    here.at(replace(state, endpoints=()))
    here.at(state)
    await until(ends, 0, 0)
    await ends.close()


@pytest.mark.usefixtures("often")
async def test_without_scrapes_nobody_is_asked(
    leader: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_elsewhere, "_SCRAPED_S", 0.05)
    ends = EndsElsewhere(Here(leader.broker.metadata.image))
    ends.want([("t", 0)])
    task = ends._task
    assert task is not None
    await asyncio.wait_for(task, 10)
    await append(leader, 0, 1)
    ends.want([("t", 0)])
    await until(ends, 0, 1)
    await ends.close()


@pytest.mark.usefixtures("often")
async def test_no_more_is_asked_for_than_the_bound(
    leader: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_elsewhere, "_PARTITIONS_MAX", 3)
    ends = EndsElsewhere(Here(leader.broker.metadata.image))
    ends.want([("t", 0)] * 5 + [("t", index) for index in range(10)])
    await until(ends, 2, 0)
    assert ends.get("t", 3) is None
    await ends.close()


async def test_what_is_led_here_is_not_asked_for() -> None:
    ends = EndsElsewhere(Here(ClusterImage(cluster_id="c")))
    ends.want([])
    assert ends._task is None
    await ends.close()
