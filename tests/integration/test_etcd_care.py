"""What the operator does for a managed etcd, done to real ones: a lost member replaced, room given
back, a snapshot taken and brought back."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from headrace_operator import etcd_api, etcd_tending
from headrace_operator.build.etcd_restore import REVISIONS_SINCE, SNAPSHOT, restore_command
from headrace_operator.errors import Conflict
from headrace_operator.etcd_api import EtcdFault
from headrace_operator.kinds import PERSISTENT_VOLUME_CLAIM, SECRET, Key, Kind, Object
from headrace_operator.observe import etcd as observe_etcd
from headrace_operator.observe.etcd import ask_etcd
from headrace_operator.observe.http import read_members
from headrace_operator.plan.cluster_actions import Defragment, DisarmAlarm, ReplaceMember
from headrace_operator.plan.etcd_care import plan_care
from headrace_operator.plan.etcd_state import etcd_state
from headrace_operator.plan.observed_cluster import ObservedCluster

from e2e.kafka.headrace import Headrace
from e2e.rig.process import run
from tests import cluster_world as world
from tests.command_line import run as headrace
from tests.integration.conftest import needs
from tests.managed_etcd import LoopbackEtcd

pytestmark = [needs("go"), pytest.mark.timeout(600)]  # The first one may have to compile etcd.
MIB = 2**20


def managed(folder: Path, members: int, size: str = "1Gi") -> LoopbackEtcd:
    spec = {"managed": {"members": members, "storage": {"size": size}}}
    return LoopbackEtcd(folder, world.cluster(etcd=spec))


class Kube:
    """The Secret, and such volumes as there are."""

    def __init__(self, etcd: LoopbackEtcd, volumes: set[str]) -> None:
        self._secret = etcd.secret
        self.volumes = volumes

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        assert (kind, name) == (SECRET, "prod-etcd-client")
        return self._secret

    async def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return {} if kind is PERSISTENT_VOLUME_CLAIM and name in self.volumes else None


async def observed(etcd: LoopbackEtcd) -> ObservedCluster:
    """What the operator sees of it: volumes are folders here."""
    health = await read_members(etcd.addresses, port=etcd.metrics_port)
    first = world.fresh(
        etcd.cluster,
        etcd_addresses={n: etcd.addresses[n] for n in health},
        members=health,
        objects={Key(SECRET, "kafka", "prod-etcd-client"): etcd.secret},
    )
    for index in etcd.addresses:
        if etcd.volume(index).exists():
            first = world.put(first, _volume(index))
    return await ask_etcd(first)


def _volume(index: int) -> Object:
    annotations = {"headrace.io/initialized": "true", "headrace.io/etcd-members": "3"}
    metadata = {"namespace": "kafka", "name": f"prod-etcd-{index}", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}


@pytest.fixture
def as_here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets the operator's code find an etcd at the ports that it has here."""

    def use(etcd: LoopbackEtcd) -> None:
        monkeypatch.setattr(observe_etcd, "ETCD_PORT", etcd.client_port)
        monkeypatch.setattr(etcd_tending, "ETCD_METRICS_PORT", etcd.metrics_port)

    return use


async def test_a_lost_member_is_replaced_and_holds_what_the_others_hold(
    tmp_path: Path, as_here: Any
) -> None:
    etcd = managed(tmp_path, 3)
    as_here(etcd)
    with etcd.running("new"):
        await etcd.all_answer()
        etcd.control("put", "kept", "value")
        etcd.kill(1)
        etcd.volume(1).rename(tmp_path / "gone")
        seen = await observed(etcd)
        assert etcd_state(seen, etcd.etcd).lost == ("prod-etcd-1",)
        action = _replacement(etcd, seen)
        with pytest.raises(Conflict, match="is back"):
            await etcd_tending.tend(_context(Kube(etcd, {"prod-etcd-1"})), seen, action)
        await _replace(etcd)
        with pytest.raises(Conflict, match="counts other members"):
            await etcd_tending.tend(_context(Kube(etcd, set())), seen, action)
        now = {one.peer_urls[0]: one for one in (await observed(etcd)).etcd_listed or ()}
        assert now[etcd.peer_url(1)].name == "" and now[etcd.peer_url(1)].id != action.former
        etcd.start(1, "existing")
        await etcd.all_answer()
        assert "value" in etcd.control("get", "kept", "--consistency=s", member=1)


def _replacement(etcd: LoopbackEtcd, seen: ObservedCluster) -> ReplaceMember:
    listed = {one.peer_urls[0]: one.id for one in seen.etcd_listed or ()}
    url = etcd.peer_url(1)
    return ReplaceMember(index=1, peer_url=url, former=listed.get(url))


async def _replace(etcd: LoopbackEtcd) -> None:
    """Pass after pass: etcd lets its members be changed once they have been connected for 5 s, so
    the new one may be counted some passes after the old one was taken out."""
    async with asyncio.timeout(30):
        while True:
            seen = await observed(etcd)
            action = _replacement(etcd, seen)
            try:
                await etcd_tending.tend(_context(Kube(etcd, set())), seen, action)
                return
            except EtcdFault as refused:
                assert "unhealthy cluster" in str(refused)
                await asyncio.sleep(0.5)


async def test_no_member_is_taken_out_while_another_does_not_answer(
    tmp_path: Path, as_here: Any
) -> None:
    etcd = managed(tmp_path, 3)
    as_here(etcd)
    with etcd.running("new"):
        await etcd.all_answer()
        etcd.kill(1)
        etcd.volume(1).rename(tmp_path / "gone")
        seen = await observed(etcd)
        etcd.kill(2)
        action = ReplaceMember(index=1, peer_url=etcd.peer_url(1), former=1)
        with pytest.raises(Conflict, match="does not answer"):
            await etcd_tending.tend(_context(Kube(etcd, set())), seen, action)


async def test_an_etcd_out_of_room_takes_writes_again(tmp_path: Path, as_here: Any) -> None:
    """Its quota is 16 MiB, half of the volume. What periodic compaction does in an hour is asked
    for here."""
    etcd = managed(tmp_path, 1, size="32Mi")
    as_here(etcd)
    with etcd.running("new"):
        await etcd.all_answer()
        for _ in range(30):
            try:
                etcd.control("put", "big", text="x" * MIB)
            except Exception as refused:
                assert "space exceeded" in str(refused)
                break
        seen = await observed(etcd)
        assert seen.members[0].alarm == "NOSPACE"
        assert _next(etcd, seen) is None, "there is nothing to give back yet"
        revision = json.loads(etcd.control("get", "big", "-w=json"))["header"]["revision"]
        etcd.control("compact", "--physical", str(revision))
        done = []
        while (action := _next(etcd, await observed(etcd))) is not None:
            done.append(action)
            await etcd_tending.tend(_context(Kube(etcd, set())), await observed(etcd), action)
            assert len(done) < 5
        assert done == [Defragment(index=0), DisarmAlarm()]
        etcd.control("put", "big", "again")
        after = (await observed(etcd)).etcd_sizes[0]
        assert after.total_bytes < 4 * MIB and after.leads


async def test_a_snapshot_brings_back_every_member_and_no_record_is_lost(tmp_path: Path) -> None:
    etcd = managed(tmp_path, 3)
    saved = tmp_path / "snapshot"
    with etcd.running("new"):
        await etcd.all_answer()
        broker = Headrace(tmp_path / "data", settings=etcd.broker_settings())
        to = ("--bootstrap", f"127.0.0.1:{broker.kafka_port}")
        with broker:
            assert headrace("produce", "before", *to, given=b"one\n").code == 0
            with saved.open("wb") as file:
                context = etcd_api.tls(etcd.secret)
                async for piece in etcd_api.snapshot(etcd.member(0), context):
                    file.write(piece)
            revision = _revision(etcd)
            assert headrace("produce", "before", *to, given=b"two\n").code == 0
            assert headrace("produce", "after", *to, given=b"three\n").code == 0
    for index in etcd.addresses:
        etcd.volume(index).rename(tmp_path / f"lost-{index}")
        command = etcd.here(restore_command(etcd.cluster, etcd.etcd, index), index)
        run([part.replace(SNAPSHOT, str(saved)) for part in command])
    with etcd.running("existing"):
        await etcd.all_answer()
        assert _revision(etcd) >= revision + REVISIONS_SINCE
        with broker:
            read = headrace("consume", "before", *to, "--from-beginning", "--no-follow")
            assert read.out == b"one\ntwo\n"
            unknown = headrace("topic", "describe", "after", *to)
            assert unknown.code == 1 and "after" in unknown.err
            assert headrace("produce", "before", *to, given=b"four\n").code == 0
        assert list((tmp_path / "data").glob("after-0*-stray")), "what it does not know is kept"


async def test_half_a_snapshot_is_none(tmp_path: Path) -> None:
    etcd = managed(tmp_path, 1)
    with etcd.running("new"):
        await etcd.all_answer()
        context = etcd_api.tls(etcd.secret)
        pieces = [piece async for piece in etcd_api.snapshot(etcd.member(0), context)]
        assert sum(map(len, pieces)) > 4096
        etcd.kill(0)
        with pytest.raises(EtcdFault, match="prod-etcd-0-0"):
            _ = [piece async for piece in etcd_api.snapshot(etcd.member(0), context)]


def _next(etcd: LoopbackEtcd, seen: ObservedCluster) -> Any:
    return plan_care(seen, etcd.etcd, etcd_state(seen, etcd.etcd), ())


def _context(kube: Kube) -> Any:
    return SimpleNamespace(kube=kube)


def _revision(etcd: LoopbackEtcd) -> int:
    found = json.loads(etcd.control("get", "none", "-w=json"))
    return int(found["header"]["revision"])
