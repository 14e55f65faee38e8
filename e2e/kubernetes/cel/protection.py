"""deletionProtection on a real API server: what it refuses, and what it lets through.

This stage has no controllers, so a namespace that was deleted stays terminating until it is
finalized here: time to see that nothing in it is held back.
"""

from collections.abc import Iterator
from typing import Final

from e2e.kubernetes.cel.run import DEFINITIONS, GROUP, Wrong, taken, wait_for
from e2e.rig.api import Api

_NAMESPACES: Final = "/api/v1/namespaces"
_CLUSTERS: Final = f"{DEFINITIONS}/clusters.headrace.io"
_MERGE: Final = "PATCH"
_DENIED: Final = "ValidatingAdmissionPolicy '{0}' with binding '{0}' denied request: {1}"
_PROTECTED: Final = _DENIED.format(
    "headrace-protects-clusters",
    "Cluster {} is protected: set its spec.deletionProtection to false first.",
)


def check(api: Api) -> Iterator[tuple[str, str | None]]:
    """What is tried, in words, and what is wrong about it, or None."""
    for tried in (
        _a_cluster,
        _one_of_many,
        _its_namespace,
        _a_terminating_namespace,
        _a_definition,
        _without_definitions,
    ):
        try:
            tried(api)
        except Wrong as wrong:
            yield tried.__doc__ or "", str(wrong)
        else:
            yield tried.__doc__ or "", None


def _a_cluster(api: Api) -> None:
    """a protected Cluster is kept until it is protected no more"""
    path = _cluster(api, "p-one", "c", protected=True)
    # A policy is in force a moment after it was created.
    wait_for(lambda: not _deletable(api, path), "the policy to refuse")
    _refused(api, path, f'clusters.headrace.io "c" is forbidden: {_PROTECTED.format("c")}')
    _protect(api, path, False)
    taken(api, "DELETE", path)


def _one_of_many(api: Api) -> None:
    """deleting all Clusters of a namespace spares the protected one alone"""
    _cluster(api, "p-many", "a", protected=False)
    kept = _cluster(api, "p-many", "b", protected=True)
    _refused(
        api,
        f"{GROUP}/namespaces/p-many/clusters",
        f'clusters.headrace.io "Unknown" is forbidden: {_PROTECTED.format("b")}',
    )
    taken(api, "GET", kept)


def _its_namespace(api: Api) -> None:
    """the namespace of a protected Cluster is kept, another one is not"""
    path = _cluster(api, "p-space", "c", protected=True)
    _cluster(api, "p-space", "d", protected=False)
    space = f"{_NAMESPACES}/p-space"
    wait_for(lambda: not _deletable(api, space), "the policy to refuse")
    sentence = (
        "Cluster c in this namespace is protected: set its spec.deletionProtection to false first."
    )
    denied = _DENIED.format("headrace-protects-namespaces", sentence)
    _refused(api, space, f'namespaces "p-space" is forbidden: {denied}')
    _namespace(api, "p-empty")
    taken(api, "DELETE", f"{_NAMESPACES}/p-empty")
    _finalize(api, "p-empty")
    _protect(api, path, False)
    # The policy's view of the Cluster is a watch, and follows in a moment.
    wait_for(
        lambda: api.request("DELETE", f"{space}?dryRun=All")[0] < 400, "the policy to give way"
    )
    taken(api, "DELETE", space)
    _finalize(api, "p-space")


def _a_terminating_namespace(api: Api) -> None:
    """a namespace that terminates already takes a protected Cluster with it"""
    one = _cluster(api, "p-going", "a", protected=False)
    two = _cluster(api, "p-going", "b", protected=False)
    taken(api, "DELETE", f"{_NAMESPACES}/p-going")
    _protect(api, one, True)
    _protect(api, two, True)
    # So is its view of the namespace; the namespace controller tries again until all is gone.
    wait_for(lambda: _deletable(api, one), "the policy to give way")
    taken(api, "DELETE", one)
    taken(api, "DELETE", f"{GROUP}/namespaces/p-going/clusters")
    if api.request("GET", two)[0] != 404:
        raise Wrong("a protected Cluster is left in a namespace that terminates")
    taken(api, "DELETE", f"{_NAMESPACES}/p-going")
    _finalize(api, "p-going")


def _a_definition(api: Api) -> None:
    """a definition with the operator's mark is kept"""
    mark = "headrace.io/protected-clusters"
    for plural in ("clusters", "topics", "quotas"):
        path = f"{DEFINITIONS}/{plural}.headrace.io"
        taken(api, _MERGE, path, {"metadata": {"annotations": {mark: "n/c, n/d"}}})
        sentence = (
            "protected Clusters exist (n/c, n/d): set their spec.deletionProtection to false first;"
            f" where no operator runs any more, take the annotation {mark} off."
        )
        denied = _DENIED.format("headrace-protects-definitions", sentence)
        name = f'customresourcedefinitions.apiextensions.k8s.io "{plural}.headrace.io"'
        _refused(api, path, f"{name} is forbidden: {denied}")
        taken(api, _MERGE, path, {"metadata": {"annotations": {mark: None}}})
        taken(api, "DELETE", f"{path}?dryRun=All")


def _without_definitions(api: Api) -> None:
    """without the definitions, which protect nothing, namespaces and other definitions go"""
    taken(api, "DELETE", _CLUSTERS)
    wait_for(lambda: api.request("GET", _CLUSTERS)[0] == 404, "the definition to be gone")
    _namespace(api, "p-after")
    taken(api, "DELETE", f"{_NAMESPACES}/p-after")
    _finalize(api, "p-after")


def _cluster(api: Api, namespace: str, name: str, *, protected: bool) -> str:
    """Creates it, and its namespace where that is not there; its path."""
    if api.request("GET", f"{_NAMESPACES}/{namespace}")[0] == 404:
        _namespace(api, namespace)
    spec = {
        "version": "0.1.0",
        "pools": [{"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}],
        "deletionProtection": protected,
    }
    body = {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": spec,
    }
    collection = f"{GROUP}/namespaces/{namespace}/clusters"
    taken(api, "POST", collection, body)
    return f"{collection}/{name}"


def _protect(api: Api, path: str, protected: bool) -> None:
    taken(api, _MERGE, path, {"spec": {"deletionProtection": protected}})


def _namespace(api: Api, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    taken(api, "POST", _NAMESPACES, body)


def _finalize(api: Api, name: str) -> None:
    """What the namespace controller does once nothing is left in it."""
    path = f"{_NAMESPACES}/{name}"
    found = taken(api, "GET", path)
    taken(api, "PUT", f"{path}/finalize", {**found, "spec": {"finalizers": []}})
    if api.request("GET", path)[0] != 404:
        raise Wrong(f"the namespace {name} does not go")


def _deletable(api: Api, path: str) -> bool:
    return api.request("DELETE", f"{path}?dryRun=All")[0] < 400


def _refused(api: Api, path: str, wanted: str) -> None:
    code, answer = api.request("DELETE", path)
    if code < 400:
        raise Wrong(f"DELETE {path} was taken")
    message = answer.get("message")
    if message != wanted:
        raise Wrong(f"DELETE {path} says {message!r}, not {wanted!r}")
