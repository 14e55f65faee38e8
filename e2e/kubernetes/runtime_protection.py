"""deletionProtection as a whole: a real API server, its policies, and an operator that has the
rights of deploy/operator.yaml and no others."""

import time
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.kubernetes.runtime_reach import RBAC
from e2e.kubernetes.runtime_world import API, START_S, CheckFailed, Operator, World, until
from e2e.rig.paths import ROOT

DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLURALS: Final = ("clusters", "topics", "quotas")
MARK: Final = "headrace.io/protected-clusters"
NAMESPACE: Final = "guarded"
CLUSTERS: Final = f"{API}/namespaces/{NAMESPACE}/clusters"
USER: Final = "guard"
SEEN_S: Final = 5.0
"""For a change of a Cluster to reach the definitions, and a policy's own caches to follow."""
QUIET_S: Final = 3.0


def definitions_kept(w: World) -> str:
    """While a protected Cluster exists, it, its namespace and the definitions cannot be deleted."""
    _install_policies(w)
    w.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    operator = w.operator(kubeconfig=_with_rights_of_the_chart(w))
    until("it leads", lambda: operator.leads, START_S)
    _create(w, "plain", protected=False)
    until("an unprotected Cluster is seen", lambda: _is_seen(w, "plain"), START_S)
    _expect(_marks(w) == {None}, "a definition is marked without a protected Cluster")
    _create(w, "held", protected=True)
    marked = until("the definitions name it", lambda: _marks(w) == {f"{NAMESPACE}/held"}, SEEN_S)
    named = f"protected Clusters exist ({NAMESPACE}/held): set their spec.deletionProtection to"
    for plural in PLURALS:
        _refused(w, f"{DEFINITIONS}/{plural}.headrace.io", named)
    _refused(w, f"{CLUSTERS}/held", "Cluster held is protected")
    _refused(w, f"/api/v1/namespaces/{NAMESPACE}", "Cluster held in this namespace is protected")
    w.ask("DELETE", f"{CLUSTERS}/plain")
    _one_write_each(w, operator)
    w.ask("PATCH", f"{CLUSTERS}/held", {"spec": {"deletionProtection": False}})
    until("the marks are gone", lambda: _marks(w) == {None}, SEEN_S)
    for plural in PLURALS:
        w.ask("DELETE", f"{DEFINITIONS}/{plural}.headrace.io?dryRun=All")
    _create(w, "again", protected=True)
    until("they are back", lambda: _marks(w) == {f"{NAMESPACE}/again"}, SEEN_S)
    w.ask("PATCH", f"{CLUSTERS}/again", {"spec": {"deletionProtection": False}})
    w.ask("DELETE", CLUSTERS)
    until("the marks go with the Cluster", lambda: _marks(w) == {None}, SEEN_S)
    _no_refusals(w)
    return f"three definitions marked {marked:.2f} s after the Cluster; one write each, then none"


def _install_policies(w: World) -> None:
    folder = "/apis/admissionregistration.k8s.io/v1"
    for one in yaml.safe_load_all((ROOT / "crds" / "protection.yaml").read_text()):
        plural = one["kind"].lower().removesuffix("y") + "ies"
        if one["kind"].endswith("Binding"):
            plural = one["kind"].lower() + "s"
        w.ask("POST", f"{folder}/{plural}", one)
    probe = {"metadata": {"name": "probe"}}
    w.ask("POST", "/api/v1/namespaces", probe)
    path = f"{API}/namespaces/probe/clusters"
    w.ask("POST", path, _cluster("probe", protected=True))
    # A policy is in force a moment after it was created.
    until("the policy refuses", lambda: not _deletable(w, f"{path}/probe"), START_S)
    w.ask("PATCH", f"{path}/probe", {"spec": {"deletionProtection": False}})
    w.ask("DELETE", f"{path}/probe")


def _with_rights_of_the_chart(w: World) -> Path:
    """A kubeconfig of a user that deploy/operator.yaml's roles are bound to."""
    group = "rbac.authorization.k8s.io"
    subject = {"apiGroup": group, "kind": "User", "name": USER}
    for one in yaml.safe_load_all((ROOT / "deploy" / "operator.yaml").read_text()):
        where = f"{RBAC}/clusterroles"
        if one["kind"] == "Role":
            where = f"{RBAC}/namespaces/default/roles"
        elif one["kind"] != "ClusterRole":
            continue
        w.ask("POST", where, {"metadata": {"name": USER}, "rules": one["rules"]})
        binding = {
            "metadata": {"name": USER},
            "roleRef": {"apiGroup": group, "kind": one["kind"], "name": USER},
            "subjects": [subject],
        }
        w.ask("POST", where.replace("roles", "rolebindings"), binding)
    return w.api.user(USER)


def _cluster(name: str, *, protected: bool) -> dict[str, Any]:
    pool = {"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}
    return {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"version": "0.1.0", "pools": [pool], "deletionProtection": protected},
    }


def _create(w: World, name: str, *, protected: bool) -> None:
    w.ask("POST", CLUSTERS, _cluster(name, protected=protected))


def _is_seen(w: World, name: str) -> bool:
    return "status" in w.ask("GET", f"{CLUSTERS}/{name}")


def _marks(w: World) -> set[str | None]:
    found = (w.ask("GET", f"{DEFINITIONS}/{plural}.headrace.io") for plural in PLURALS)
    return {(one["metadata"].get("annotations") or {}).get(MARK) for one in found}


def _deletable(w: World, path: str) -> bool:
    return w.api.request("DELETE", f"{path}?dryRun=All")[0] < 400


def _refused(w: World, path: str, sentence: str) -> None:
    until(f"DELETE {path} is refused", lambda: not _deletable(w, path), SEEN_S)
    said = w.api.request("DELETE", f"{path}?dryRun=All")[1]["message"]
    _expect(sentence in said, f"DELETE {path} says {said!r}, not {sentence!r}")


def _written(w: World) -> list[str]:
    return [
        entry["objectRef"]["name"]
        for entry in w.api.audited()
        if entry.get("user", {}).get("username") == USER
        and entry["verb"] == "patch"
        and entry.get("objectRef", {}).get("resource") == "customresourcedefinitions"
    ]


def _one_write_each(w: World, operator: Operator) -> None:
    time.sleep(QUIET_S)
    written = sorted(_written(w))
    wanted = sorted(f"{plural}.headrace.io" for plural in PLURALS)
    _expect(written == wanted, f"definitions were written: {written}")
    _expect(operator.leads, "the operator is no more the active one")


def _no_refusals(w: World) -> None:
    denied = {
        f"{entry['verb']} {entry['requestURI']}"
        for entry in w.api.audited()
        if entry.get("user", {}).get("username") == USER
        and entry.get("responseStatus", {}).get("code") == 403
    }
    _expect(not denied, f"the chart's rights do not suffice: {sorted(denied)}")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise CheckFailed(what)
