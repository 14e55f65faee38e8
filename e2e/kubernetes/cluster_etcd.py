"""A managed etcd's care from end to end: the operator's own passes, a real API server, real etcds.

What controllers and kubelets do is done here: a pod object and a process for each StatefulSet whose
volume is there. Only names and ports of etcd differ from a Kubernetes with nodes.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from headrace_operator.access import configuration
from headrace_operator.build import names
from headrace_operator.context import Context
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import CLUSTER, CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from headrace_operator.observe.http import read_members

from e2e.kubernetes.cluster_pass import NAMESPACE, CountingKube, context_of, wrote
from e2e.kubernetes.runtime_world import CheckFailed, World
from tests.managed_etcd import LoopbackEtcd

NAME: Final = "tended"
WITHIN_S: Final = 60.0
LOST: Final = 1


async def tended(w: World) -> str:
    """A member loses its node and volume: it is replaced, and holds what the others hold."""
    w.ask("POST", CLUSTER.path(NAMESPACE), _body())
    made = w.ask("GET", CLUSTER.path(NAMESPACE, NAME))
    with tempfile.TemporaryDirectory() as folder:
        etcd = LoopbackEtcd(Path(folder), Cluster.model_validate(made))
        kube = CountingKube(await configuration(w.api.kubeconfig))
        try:
            with _at_its_ports(etcd), etcd.running("new"):
                return await _play(w, etcd, context_of(kube))
        finally:
            await kube.close()


async def _play(w: World, etcd: LoopbackEtcd, context: Context) -> str:
    await etcd.all_answer()
    await _until(w, context, "etcd has been whole", lambda: _state(w) == "existing")
    etcd.control("put", "kept", "value")
    etcd.kill(LOST)
    shutil.rmtree(etcd.volume(LOST))
    volume = names.etcd_member(NAME, LOST)
    w.ask("DELETE", POD.path(NAMESPACE, f"{volume}-0") + "?gracePeriodSeconds=0")
    claim = PERSISTENT_VOLUME_CLAIM.path(NAMESPACE, volume)
    w.ask("PATCH", claim, {"metadata": {"finalizers": None}})
    w.ask("DELETE", claim)
    began = asyncio.get_running_loop().time()
    seen: list[str] = []

    def volume_is_back() -> bool:
        seen.append(_condition(w, "Reconciling")["reason"])
        return w.api.request("GET", claim)[0] == 200

    await _until(w, context, "its volume is made anew", volume_is_back, without=LOST)
    etcd.start(LOST, _state(w))
    await etcd.all_answer()
    healthy = "all members answer"
    await _until(w, context, healthy, lambda: _condition(w, "EtcdHealthy")["status"] == "True")
    took = asyncio.get_running_loop().time() - began
    if "value" not in etcd.control("get", "kept", "--consistency=s", member=LOST):
        raise CheckFailed("the new member does not hold what the others hold")
    if "EtcdMemberReplaced" not in seen:
        raise CheckFailed(f"it said {sorted(set(seen))} meanwhile")
    return f"EtcdMemberReplaced; the new member holds all {took:.0f} s after the loss"


async def _until(
    w: World, context: Context, what: str, seen: Any, *, without: int | None = None
) -> None:
    """Pass after pass, with the pods that there would be. Raises CheckFailed."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                _make_pods(w, without)
                await wrote(context, NAME)
                if seen():
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise CheckFailed(f"{what}: not in time: {_condition(w, 'Reconciling')}") from None


def _make_pods(w: World, without: int | None) -> None:
    """As the StatefulSets' controller and kubelets: the pods of etcd's members, ready."""
    for stateful_set in w.ask("GET", STATEFUL_SET.path(NAMESPACE))["items"]:
        name = stateful_set["metadata"]["name"]
        index = names.member_of(NAME, name)
        if index is None or index == without:
            continue
        if w.api.request("GET", POD.path(NAMESPACE, f"{name}-0"))[0] == 200:
            continue
        template = stateful_set["spec"]["template"]
        owner = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "name": name,
            "uid": stateful_set["metadata"]["uid"],
            "controller": True,
        }
        metadata = {**template["metadata"], "name": f"{name}-0", "ownerReferences": [owner]}
        w.ask("POST", POD.path(NAMESPACE), {"metadata": metadata, "spec": template["spec"]})
        address = _ADDRESSES[index]
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        w.ask("PATCH", POD.path(NAMESPACE, f"{name}-0", "status"), {"status": status})


_ADDRESSES: dict[int, str] = {}
"""Of this check's members, by index."""


@contextmanager
def _at_its_ports(etcd: LoopbackEtcd) -> Iterator[None]:
    """The operator's code finds etcd where it is here, and signs with the CA that this trusts."""
    _ADDRESSES.update(etcd.addresses)

    def peer_url(cluster: Cluster, index: int) -> str:
        return etcd.peer_url(index)

    async def reading(addresses: Mapping[int, str]) -> Any:
        return await read_members(addresses, port=etcd.metrics_port)

    operator = "headrace_operator"
    changes: Mapping[str, Any] = {
        f"{operator}.observe.etcd.ETCD_PORT": etcd.client_port,
        f"{operator}.observe.cluster.read_members": reading,
        f"{operator}.etcd_tending.ETCD_METRICS_PORT": etcd.metrics_port,
        f"{operator}.plan.etcd_state.peer_url": peer_url,
        f"{operator}.plan.etcd_care.peer_url": peer_url,
        f"{operator}.apply.new_authority": lambda *_, **__: etcd.ca,
    }
    patches = [patch(target, value) for target, value in changes.items()]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def _body() -> dict[str, Any]:
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.name,
        "metadata": {"name": NAME},
        "spec": {
            "version": "0.1.0",
            "pools": [{"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}],
            "etcd": {"managed": {"members": 3, "storage": {"size": "1Gi"}}},
        },
    }


def _state(w: World) -> str:
    code, found = w.api.request("GET", CONFIG_MAP.path(NAMESPACE, names.etcd_service(NAME)))
    return str(found["data"]["ETCD_INITIAL_CLUSTER_STATE"]) if code == 200 else ""


def _condition(w: World, kind: str) -> Any:
    conditions = w.ask("GET", CLUSTER.path(NAMESPACE, NAME)).get("status", {}).get("conditions", ())
    empty = {"status": "Unknown", "reason": ""}
    return next((one for one in conditions if one["type"] == kind), empty)
