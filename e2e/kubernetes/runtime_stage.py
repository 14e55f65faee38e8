"""The whole operator on an API server alone: its own command and permissions, real brokers, etcd.

Only nodes are missing, see `runtime_nodes`. The operator acts as a user who may do what the chart
grants and no more, so the audit log tells its requests from those of the checks.
"""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from headrace.client.address import Address
from headrace_operator.admin.clusters import Admin, ClusterAdmin
from headrace_operator.crd.listeners import CONTROL_PORT
from headrace_operator.kinds import ALL, Kind

from e2e.kubernetes.runtime_nodes import Nodes
from e2e.kubernetes.runtime_world import API, START_S, CheckFailed, Operator, World, until
from e2e.rig.api import Api
from e2e.rig.etcd import Etcd
from e2e.rig.paths import ROOT

NAMESPACE = "default"
OPERATOR_NAMESPACE = "headrace-system"
LEASE_NAME = "headrace"
USER = "headrace-operator"
CHART = ROOT / "tests" / "golden" / "chart" / "everything.yaml"
"""The chart as it renders; a test holds it equal to the chart."""
WRITERS = 8
_GRANTS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
}

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Clusters in namespace default whose brokers run, and operators for them."""

    w: World
    nodes: Nodes
    kubeconfig: Path

    def operator(self, *options: str, version: str = "") -> Operator:
        """Start one, as the chart does; `version` makes it another build."""
        control = [
            f"--control={NAMESPACE}/{name}={address}:{CONTROL_PORT}"
            for name, address in self.nodes.addresses.items()
        ]
        build = [f"--as-version={version}"] if version else []
        return self.w.launch(
            lambda name, port: [
                "e2e.kubernetes.real_operator",
                *control,
                *build,
                "--",
                "run",
                f"--kubeconfig={self.kubeconfig}",
                f"--pod-name={name}",
                f"--http-port={port}",
                f"--operator-namespace={OPERATOR_NAMESPACE}",
                f"--lease-name={LEASE_NAME}",
                *options,
            ]
        )

    def ready_operator(self, *options: str) -> Operator:
        """Start one and wait until every Cluster is Ready."""
        operator = self.operator(*options)
        self.settle()
        return operator

    def settle(self) -> None:
        """Wait until every Cluster is Ready, being its nodes meanwhile."""

        def ready() -> bool:
            self.nodes.turn()
            return all(
                self.says(f"{API}/namespaces/{NAMESPACE}/clusters/{name}")[0] == "Ready"
                for name in self.nodes.addresses
            )

        until("every Cluster is Ready", ready, 2 * START_S)

    def says(self, path: str) -> tuple[str, str, str]:
        """Which of the three states an object is in, its reason and its sentence; or blanks."""
        obj = self.w.ask("GET", path)
        conditions = (obj.get("status") or {}).get("conditions") or []
        for found in conditions:
            current = found["observedGeneration"] == obj["metadata"]["generation"]
            state = found["type"] in ("Ready", "Reconciling", "Stalled")
            if state and current and found["status"] == "True":
                return found["type"], found["reason"], found["message"]
        return "", "", ""

    def brokers(
        self, question: Callable[[ClusterAdmin], Awaitable[Answer]], cluster: str = "c"
    ) -> Answer:
        """Ask or tell the brokers of a Cluster something behind the operator's back."""
        address = Address(self.nodes.addresses[cluster], CONTROL_PORT)

        async def answered() -> Answer:
            admin = Admin(lambda *_: (address,))
            try:
                return await question(admin.of(NAMESPACE, cluster))
            finally:
                admin.close()

        return asyncio.run(answered())

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """What the operators asked the API server, by its audit log from entry `since` on."""
        entries = list(self.w.api.audited())[since:]
        return [entry for entry in entries if entry["user"]["username"] == USER]


@contextmanager
def stage(w: World, clusters: Sequence[str] = ("c",)) -> Iterator[Stage]:
    """Clusters of one broker each on an etcd that they share. The operator is not started yet."""
    grant(w)
    with tempfile.TemporaryDirectory(prefix="headrace-stage-") as temporary:
        folder = Path(temporary)
        with Etcd(folder / "etcd") as etcd:
            w.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", {"metadata": {"name": "etcd"}})
            external = {"endpoints": list(etcd.endpoints), "secret": "etcd"}
            nodes = Nodes(w, folder, clusters)
            for name in clusters:
                made = cluster(name, etcd={"external": external}, access={"namespaces": ["*"]})
                w.ask("POST", f"{API}/namespaces/{NAMESPACE}/clusters", made)
            try:
                yield Stage(w=w, nodes=nodes, kubeconfig=w.api.user(USER))
            finally:
                for operator in w.operators:
                    operator.stop()
                nodes.stop()


def cluster(name: str, **spec: Any) -> dict[str, Any]:
    """A Cluster of one broker."""
    pool = {"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}
    return {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"version": "0.1.0", "pools": [pool], **spec},
    }


def grant(w: World) -> None:
    """What the chart makes beside the Deployment, its service account being our user."""
    w.ask("POST", "/api/v1/namespaces", {"metadata": {"name": OPERATOR_NAMESPACE}})
    for document in yaml.safe_load_all(CHART.read_text()):
        hook = "helm.sh/hook" in ((document or {}).get("metadata", {}).get("annotations") or {})
        if not document or hook or document["kind"] not in _GRANTS:
            continue
        if "subjects" in document:
            group = "rbac.authorization.k8s.io"
            document["subjects"] = [{"kind": "User", "apiGroup": group, "name": USER}]
        path = _GRANTS[document["kind"]].format(OPERATOR_NAMESPACE)
        w.ask("POST", path, document)


def create_all(api: Api, kind: Kind, objects: Sequence[dict[str, Any]]) -> None:
    """Many at once, faster than kubectl: where creating is not what is measured."""

    def create(part: Sequence[dict[str, Any]]) -> None:
        peer = api.connect()
        for obj in part:
            path = kind.path(obj["metadata"].get("namespace", NAMESPACE))
            peer.request("POST", path, json.dumps(obj), {"Content-Type": "application/json"})
            answer = peer.getresponse()
            said = answer.read()
            if answer.status != 201:
                raise CheckFailed(f"POST {path}: {answer.status} {said!r}")
        peer.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(create, [objects[n::WRITERS] for n in range(WRITERS)]))


def collection(kind: str, namespace: str = NAMESPACE, name: str = "") -> str:
    """The path of the objects of a kind, or of one of them."""
    [found] = [each for each in ALL if each.name == kind]
    return found.path(namespace, name or None)
