"""Checks of what the operator needs and holds: permissions, finalizers, missed events."""

import sys
from pathlib import Path

from e2e.kubernetes.runtime_world import API, TOPICS, CheckFailed, World, topic, until
from e2e.rig.process import run

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FINALIZER = "headrace.io/finalizer"
EVERYTHING = ["get", "list", "watch", "create", "update", "patch", "delete"]


def one_namespace(w: World) -> str:
    """A Role in one namespace is enough: no ClusterRole, and other namespaces stay unseen."""
    w.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    rules = [
        {"apiGroups": ["headrace.io"], "resources": ["*"], "verbs": EVERYTHING},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": EVERYTHING},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
        {"apiGroups": ["", "apps"], "resources": ["*"], "verbs": EVERYTHING},
    ]
    roles = f"{RBAC}/namespaces/default"
    w.ask("POST", f"{roles}/roles", {"metadata": {"name": "operator"}, "rules": rules})
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "operator"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "one-namespace"}],
    }
    w.ask("POST", f"{roles}/rolebindings", binding)
    w.create_topics(3)
    w.ask("POST", f"{API}/namespaces/other/topics", topic("elsewhere"))
    operator = w.operator(
        "--namespace=default", "--no-watch-nodes", kubeconfig=w.api.user("one-namespace")
    )
    until("the Topics are Ready", lambda: operator.ready_topics() == 3, 30)
    generation = w.change_topic("t0")
    took = until("a change is acted on", lambda: w.observed("t0") == generation, 5)
    other = w.ask("GET", f"{API}/namespaces/other/topics/elsewhere")
    w.ask("DELETE", f"{API}/namespaces/other/topics")
    if (other.get("status") or {}).get("conditions"):
        raise CheckFailed("a Topic of another namespace got a status")
    denied = [
        entry["requestURI"]
        for entry in w.api.audited()
        if entry.get("user", {}).get("username") == "one-namespace"
        and entry.get("responseStatus", {}).get("code") == 403
    ]
    if denied:
        raise CheckFailed(f"it asked for what it may not: {sorted(set(denied))}")
    return f"Ready with a Role alone; a change is acted on in {took:.2f} s"


def finalizers_released(w: World) -> str:
    """The documented command frees what the operator held, and nobody else's finalizers."""
    w.create_topics(2)
    mine, other = {"finalizers": [FINALIZER, "example.com/keep"]}, "example.com/keep"
    w.ask("PATCH", f"{TOPICS}/t0", {"metadata": mine})
    w.ask("DELETE", f"{TOPICS}/t0")
    program = Path(sys.executable).parent / "headrace-operator"
    said = run([program, "release-finalizers", "--all", f"--kubeconfig={w.api.kubeconfig}"])
    left = w.ask("GET", f"{TOPICS}/t0")["metadata"]["finalizers"]
    w.ask("PATCH", f"{TOPICS}/t0", {"metadata": {"finalizers": None}})
    if left != [other] or said.strip() != "released 1 resource":
        raise CheckFailed(f"{said.strip()!r}, finalizers left: {left}")
    return said.strip()
