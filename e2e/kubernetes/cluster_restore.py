"""`headrace-operator etcd restore-pods` on a real API server: refused while it could do harm, and
what it prints is accepted where the restricted profile is enforced."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from headrace_operator.kinds import CLUSTER, PERSISTENT_VOLUME_CLAIM, STATEFUL_SET

from e2e.kubernetes.cluster_pass import NAMESPACE
from e2e.kubernetes.runtime_world import CheckFailed, World

NAME: Final = "restored"
PROGRAM: Final = Path(sys.executable).parent / "headrace-operator"


async def restored(w: World) -> str:
    """The way of examples/restore.md up to its pods; no pod runs here."""
    pool = {"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}
    body = {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.name,
        "metadata": {"name": NAME},
        "spec": {"version": "0.1.0", "pools": [pool]},
    }
    w.ask("POST", CLUSTER.path(NAMESPACE), body)
    _refused(w, "is not suspended")
    w.ask("PATCH", CLUSTER.path(NAMESPACE, NAME), {"spec": {"suspend": True}})
    # Nothing here makes what the operator and the controllers would have made by now.
    w.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": NAME}})
    labels = {"headrace.io/cluster": NAME, "app.kubernetes.io/component": "etcd"}
    w.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", _pod({**labels}))
    _refused(w, f"scale the {STATEFUL_SET.plural}")
    w.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{NAME}-etcd-0-0?gracePeriodSeconds=0")
    done = _run(w, "restore-pods")
    if done.returncode != 0:
        raise CheckFailed(done.stderr)
    items = json.loads(done.stdout)["items"]
    kinds = [item["kind"] for item in items]
    if kinds != ["PersistentVolumeClaim", "Pod"] * 3:
        raise CheckFailed(f"it prints {kinds}")
    for item in items:
        where = "pods" if item["kind"] == "Pod" else PERSISTENT_VOLUME_CLAIM.plural
        w.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/{where}?dryRun=All", item)
    return "refused until it is suspended and stopped; three volumes and three pods are accepted"


def _pod(labels: Mapping[str, str]) -> dict[str, Any]:
    """An etcd pod that is still there."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "etcd", "image": "none", "securityContext": security}
    metadata = {"name": f"{NAME}-etcd-0-0", "labels": dict(labels)}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    return {"metadata": metadata, "spec": {**spec, "serviceAccountName": NAME}}


def _refused(w: World, words: str) -> None:
    done = _run(w, "restore-pods")
    if done.returncode != 1 or words not in done.stderr:
        raise CheckFailed(f"{words!r} is not what it says: {done.returncode} {done.stderr}")


def _run(w: World, command: str) -> "subprocess.CompletedProcess[str]":
    words = [PROGRAM, "etcd", command, NAME, "-n", NAMESPACE, f"--kubeconfig={w.api.kubeconfig}"]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)
