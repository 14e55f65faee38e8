"""What StatefulSet controllers and kubelets do, where there is only an API server.

Every StatefulSet of a broker gets its pod's object, and the pod a real broker at an address of its
own, which reads the settings that the operator rendered for it, other addresses apart. Volumes are
folders. Nothing is replaced or started again: what a roll does is tried on the whole rig.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace_operator.build import names
from headrace_operator.crd.listeners import CONTROL_PORT, HTTP_PORT

from e2e.kafka.headrace import executable
from e2e.kubernetes.runtime_world import START_S, World
from e2e.rig.paths import LOGS
from e2e.rig.process import Daemon

CLIENT_PORT = 9092
SETS = "/apis/apps/v1/statefulsets"
CLAIMS = "/api/v1/persistentvolumeclaims"
PODS = "/api/v1/pods"


class Nodes:
    """Brokers of these Clusters, one each, with their data under `folder`."""

    def __init__(self, w: World, folder: Path, clusters: Sequence[str]) -> None:
        self._w = w
        self._folder = folder
        # Ports are fixed by the Cluster's definition: each broker has a loopback address instead,
        # and each run of the checks its own 250 of them.
        pid = os.getpid()
        network = f"127.{64 + pid % 128}.{pid // 128 % 256}"
        self.addresses = {name: f"{network}.{n}" for n, name in enumerate(clusters, 1)}
        self._brokers: dict[str, Daemon] = {}

    def turn(self) -> None:
        """Whatever lacks its volume or its pod gets it."""
        for claim in self._items(CLAIMS):
            if (claim.get("status") or {}).get("phase") != "Bound":
                size = claim["spec"]["resources"]["requests"]
                self._say(CLAIMS, claim, {"phase": "Bound", "capacity": size})
        for stateful_set in self._items(SETS):
            if _path(SETS, stateful_set) not in self._brokers:
                self._start(stateful_set)

    def kill(self, cluster: str) -> None:
        """End the broker of a Cluster; its pod's object still says that it runs."""
        for name, broker in self._brokers.items():
            if name.rpartition("/")[2].startswith(f"{cluster}-"):
                broker.stop()

    def stop(self) -> None:
        """End the brokers."""
        for broker in self._brokers.values():
            broker.stop()
        self._brokers.clear()

    def _start(self, stateful_set: Any) -> None:
        metadata, template = stateful_set["metadata"], stateful_set["spec"]["template"]
        address = self.addresses[metadata["labels"][names.CLUSTER_LABEL]]
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "controller": True}
        owner |= {"name": metadata["name"], "uid": metadata["uid"]}
        head = {"name": names.pod(metadata["name"]), "namespace": metadata["namespace"]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], **head, "ownerReferences": [owner]},
            "spec": template["spec"],
        }
        self._w.ask("POST", f"/api/v1/namespaces/{metadata['namespace']}/pods", pod)
        broker = self._run(head["name"], head["namespace"], template, address)
        self._brokers[_path(SETS, stateful_set)] = broker
        broker.wait_until(lambda: _answers(f"http://{address}:{HTTP_PORT}/readyz"), START_S)
        ready = [{"type": "Ready", "status": "True"}]
        where = {"podIP": address, "podIPs": [{"ip": address}]}
        self._say(PODS, pod, {"phase": "Running", "conditions": ready, **where})

    def _run(self, pod: str, namespace: str, template: Any, address: str) -> Daemon:
        """The broker of a pod, as its container would run it."""
        config = next(
            v["configMap"]["name"] for v in template["spec"]["volumes"] if "configMap" in v
        )
        path = f"/api/v1/namespaces/{namespace}/configmaps/{config}"
        [text] = self._w.ask("GET", path)["data"].values()
        file = self._folder / f"{pod}.properties"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_moved(text, address, self._folder / pod))
        given = template["spec"]["containers"][0]["env"]
        environment = {entry["name"]: entry["value"] for entry in given if "value" in entry}
        command = [executable(), "broker", "--config", file]
        return Daemon(pod, command, LOGS / "runtime" / f"{pod}.log", environment)

    def _items(self, path: str) -> list[Any]:
        found: list[Any] = self._w.ask("GET", path)["items"]
        return found

    def _say(self, collection: str, obj: Any, status: Mapping[str, Any]) -> None:
        self._w.ask("PATCH", f"{_path(collection, obj)}/status", {"status": status})


def _path(collection: str, obj: Any) -> str:
    base, _, plural = collection.rpartition("/")
    metadata = obj["metadata"]
    return f"{base}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


def _moved(text: str, address: str, folder: Path) -> str:
    """The settings with this address and folder; all else is as the operator rendered it."""
    given = dict(line.split("=", 1) for line in text.splitlines())
    listeners = f"CONTROL://{address}:{CONTROL_PORT},INTERNAL://{address}:{CLIENT_PORT}"
    given |= {"listeners": listeners, "advertised.listeners": listeners, "http.host": address}
    given |= {"broker.rack": "here", "log.dirs": str(folder)}
    return "".join(f"{name}={value}\n" for name, value in given.items())


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
