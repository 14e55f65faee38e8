"""Clusters that cannot be made as they are: what they say, and that mending is all it takes.

Every case runs in one and the same operator from the refusal to the recovery: nothing restarts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace_operator.access import configuration
from headrace_operator.kinds import CLUSTER, PERSISTENT_VOLUME_CLAIM, STATEFUL_SET, Object

from e2e.kubernetes.cluster_pass import NAMESPACE, CountingKube, context_of, quiet
from e2e.kubernetes.runtime_world import CheckFailed, World

POOL: Final = {"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}
ETCD: Final = {"external": {"endpoints": ["etcd.elsewhere:2379"], "secret": "later"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A spec, what it becomes, and the cure: an object to make, or another spec.

    first: the spec before the bad one, where the Cluster exists already
    """

    spec: Mapping[str, Any]
    reason: str
    words: tuple[str, ...]
    first: Mapping[str, Any] | None = None
    cure: tuple[str, Mapping[str, Any]] | None = None
    mended: Mapping[str, Any] | None = None


_SECRET: Final = (
    f"/api/v1/namespaces/{NAMESPACE}/secrets",
    {"metadata": {"name": "later"}, "stringData": {"ca.crt": "x"}},
)
_CLASS: Final = (
    "/apis/storage.k8s.io/v1/storageclasses",
    {"metadata": {"name": "fast"}, "provisioner": "example.com/none"},
)
BAD: Final[Mapping[str, Bad]] = {
    "a Cluster before its Secret": Bad(
        spec={"etcd": ETCD},
        reason="SecretNotFound",
        words=("There is no Secret later in namespace kafka", "make it"),
        cure=_SECRET,
    ),
    "a StorageClass that does not exist": Bad(
        spec={"pools": [{**POOL, "storage": {"size": "1Gi", "className": "fast"}}]},
        reason="StorageClassNotFound",
        words=("There is no StorageClass fast", "spec.pools[a].storage.className", "make it"),
        cure=_CLASS,
    ),
    "a setting that is unknown": Bad(
        first={},
        spec={"config": {"no.such.setting": "1"}},
        reason="InvalidConfig",
        words=("no.such.setting", "Nothing is restarted"),
        mended={"config": {"no.such.setting": None, "num.partitions": "3"}},
    ),
    "a setting that is no number": Bad(
        first={},
        spec={"config": {"group.max.size": "many"}},
        reason="InvalidConfig",
        words=("group.max.size", "many", "Nothing is restarted"),
        mended={"config": {"group.max.size": "4"}},
    ),
}


async def mended(w: World, name: str) -> str:
    """One case; returns what was seen. Raises CheckFailed."""
    case = BAD[name]
    cluster = f"bad{sorted(BAD).index(name)}"
    path = CLUSTER.path(NAMESPACE, cluster)
    kube = CountingKube(await configuration(w.api.kubeconfig))
    context = context_of(kube)
    try:
        before: list[Any] = []
        w.ask("POST", CLUSTER.path(NAMESPACE), _body(cluster, case))
        if case.first is not None:
            await quiet(context, cluster)
            before = _templates(w, cluster)
            w.ask("PATCH", path, {"spec": case.spec})
        await quiet(context, cluster)
        _says(w, path, case)
        if _templates(w, cluster) != before:
            raise CheckFailed("pods were given another template before it was mended")
        if case.first is None and _names(w, PERSISTENT_VOLUME_CLAIM, cluster):
            raise CheckFailed("volumes were made before it was mended")
        if case.cure is not None:
            w.ask("POST", *case.cure)
        if case.mended is not None:
            w.ask("PATCH", path, {"spec": case.mended})
        await quiet(context, cluster)
    finally:
        await kube.close()
    after = _condition(w, path, "Stalled")
    if after["status"] != "False" or not _names(w, PERSISTENT_VOLUME_CLAIM, cluster):
        raise CheckFailed(f"mended, it still says: {after}")
    return f"{case.reason}, and after mending {_condition(w, path, 'Reconciling')['reason']}"


def _body(name: str, case: Bad) -> Object:
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.name,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "version": "0.1.0",
            "pools": [POOL],
            **(case.spec if case.first is None else case.first),
        },
    }


def _says(w: World, path: str, case: Bad) -> None:
    for kind, value in (("Stalled", "True"), ("Ready", "False")):
        found = _condition(w, path, kind)
        if (found["status"], found["reason"]) != (value, case.reason):
            raise CheckFailed(f"not {kind}={value} with {case.reason}: {found}")
        missing = [words for words in case.words if words not in found["message"]]
        if missing:
            raise CheckFailed(f"{missing} is not in: {found['message']}")


def _condition(w: World, path: str, kind: str) -> Any:
    conditions = w.ask("GET", path)["status"]["conditions"]
    return next(one for one in conditions if one["type"] == kind)


def _templates(w: World, cluster: str) -> list[Any]:
    items = w.ask("GET", STATEFUL_SET.path(NAMESPACE))["items"]
    return [i["spec"]["template"] for i in items if _of(i, cluster)]


def _names(w: World, kind: Any, cluster: str) -> list[str]:
    items = w.ask("GET", kind.path(NAMESPACE))["items"]
    return [i["metadata"]["name"] for i in items if _of(i, cluster)]


def _of(obj: Object, cluster: str) -> bool:
    return bool(obj["metadata"]["labels"].get("headrace.io/cluster") == cluster)
