"""The list of protected Clusters on a definition: written once, and only when it is another one."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from headrace_operator.crd.protection import ANNOTATION
from headrace_operator.errors import NotFound
from headrace_operator.kinds import CLUSTER, CRD, Key, Kind, Object
from headrace_operator.reconcile_definition import LOOK_SECONDS, reconcile
from headrace_operator.settings import Settings
from headrace_operator.store import Store
from headrace_operator.watched import DEFINITIONS, watched


class Definitions:
    """The annotations of one definition, None where it is not there, as the API server patches."""

    def __init__(self, annotations: Mapping[str, str] | None) -> None:
        self.annotations = None if annotations is None else dict(annotations)
        self.writes = 0

    async def get_metadata(self, kind: Kind, namespace: None, name: str) -> Object:
        assert (kind, name) == (CRD, "clusters.headrace.io")
        if self.annotations is None:
            raise NotFound(name)
        return {"metadata": {"name": name, "annotations": self.annotations}}

    async def merge_patch(self, kind: Kind, namespace: None, name: str, patch: Object) -> None:
        self.writes += 1
        assert self.annotations is not None
        merged = {**self.annotations, **patch["metadata"]["annotations"]}
        self.annotations = {k: v for k, v in merged.items() if v is not None}


def context(kube: Definitions, clusters: Mapping[str, bool], *, complete: bool = True) -> Any:
    store = Store({each.kind: each.owners for each in watched(Settings())})
    objects: list[Object] = [
        {
            "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "5"},
            "spec": {"deletionProtection": held},
        }
        for name, held in clusters.items()
    ]
    if complete:
        sweep = store.sweep(CLUSTER)
        sweep.take(objects)
        sweep.finish(5)
    else:
        store.put(CLUSTER, objects[0])
    return SimpleNamespace(kube=kube, store=store)


KEY: Key = DEFINITIONS[0]


async def test_it_names_the_protected_clusters_and_is_quiet_then() -> None:
    kube = Definitions({"other": "stays"})
    world = context(kube, {"b": True, "a": True, "c": False})
    assert [await reconcile(world, KEY) for _ in range(2)] == [LOOK_SECONDS] * 2
    assert kube.annotations == {"other": "stays", ANNOTATION: "ns/a, ns/b"}
    assert kube.writes == 1


async def test_the_list_goes_with_the_last_of_them() -> None:
    kube = Definitions({ANNOTATION: "ns/a", "other": "stays"})
    await reconcile(context(kube, {"a": False}), KEY)
    assert kube.annotations == {"other": "stays"}


async def test_half_a_picture_changes_nothing() -> None:
    kube = Definitions({ANNOTATION: "ns/z"})
    again = await reconcile(context(kube, {"a": False}, complete=False), KEY)
    assert kube.writes == 0 and again is not None and again < LOOK_SECONDS


async def test_a_definition_that_is_not_there_is_no_fault() -> None:
    assert await reconcile(context(Definitions(None), {"a": True}), KEY) == LOOK_SECONDS
