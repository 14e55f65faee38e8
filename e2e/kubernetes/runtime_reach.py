"""Checks of what the operator needs and holds: permissions, finalizers, missed events."""

import sys
from pathlib import Path

from headrace_operator.elector import EXIT_LEASE_LOST

from e2e.kubernetes.runtime_world import API, START_S, TOPICS, CheckFailed, World, topic, until
from e2e.rig.process import run

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FINALIZER = "headrace.io/finalizer"
LOOK = ["get", "list", "watch"]
CORE_KINDS = ("pods", "services", "configmaps", "secrets", "persistentvolumeclaims")


def one_namespace(w: World) -> str:
    """A Role in one namespace is enough: no ClusterRole, and other namespaces stay unseen."""
    w.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    # Of charts/headrace, what the runtime itself needs; RBAC refuses everything else.
    rules = [
        {"apiGroups": ["headrace.io"], "resources": ["*"], "verbs": [*LOOK, "patch"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "create", "update"],
        },
        {"apiGroups": [""], "resources": [*CORE_KINDS], "verbs": LOOK},
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": LOOK},
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
    until("the Topics are Ready", lambda: operator.ready_topics() == 3, START_S)
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
    """The documented command frees what the operator held, and nobody else's finalizers; an
    operator that still runs cannot put them back meanwhile."""
    first = w.operator()
    until("it leads", lambda: first.leads, START_S)
    w.create_topics(2)
    mine, other = {"finalizers": [FINALIZER, "example.com/keep"]}, "example.com/keep"
    w.ask("PATCH", f"{TOPICS}/t0", {"metadata": mine})
    w.ask("DELETE", f"{TOPICS}/t0")
    program = Path(sys.executable).parent / "headrace-operator"
    command = [program, "release-finalizers", "--all", f"--kubeconfig={w.api.kubeconfig}"]
    said = run([*command, "--operator-namespace=default"]).strip()
    left = w.ask("GET", f"{TOPICS}/t0")["metadata"]["finalizers"]
    if left != [other] or said != "released 1 resource":
        raise CheckFailed(f"{said!r}, finalizers left: {left}")
    if (code := first.exit_code(1)) != EXIT_LEASE_LOST:
        raise CheckFailed(f"the operator ended with {code}")
    return f"{said}; the operator had ended before"
