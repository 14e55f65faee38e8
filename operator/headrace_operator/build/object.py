"""What all objects have in common: their head, their owner, and the mark of what was applied."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from headrace_operator.build.names import RENDERED, labels
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import CLUSTER, Kind, Object

HASH_CHARACTERS: Final = 16
"""64 bits: two settings of one Cluster never share them by chance."""


def digest(value: Any) -> str:
    """A short hash of a JSON value, the same in every process and release."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]


def make(
    kind: Kind,
    cluster: Cluster,
    name: str,
    body: Mapping[str, Any],
    *,
    component: str = "",
    extra_labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owned: bool = True,
) -> Object:
    """An object of that Cluster. One that is not `owned` outlives it."""
    metadata: Object = {
        "name": name,
        "namespace": cluster.metadata.namespace,
        "labels": {**(extra_labels or {}), **labels(cluster.metadata.name, component)},
        "annotations": dict(annotations or {}),
    }
    if owned:
        metadata["ownerReferences"] = [owner(cluster)]
    head = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    return sealed({**head, **body})


def sealed(obj: Object) -> Object:
    """The object with the mark of its content."""
    metadata = obj["metadata"]
    annotations = {k: v for k, v in metadata["annotations"].items() if k != RENDERED}
    bare = {**obj, "metadata": {**metadata, "annotations": annotations}}
    marked = {**annotations, RENDERED: digest(bare)}
    return {**obj, "metadata": {**metadata, "annotations": marked}}


def owner(cluster: Cluster) -> Object:
    """The reference by which Kubernetes deletes what a deleted Cluster leaves."""
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.name,
        "name": cluster.metadata.name,
        "uid": cluster.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def owner_uid(obj: Object) -> str | None:
    """The UID of an object's controller; None where it has none."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return None


def annotation(obj: Object | None, name: str) -> str | None:
    """An object's annotation; None where it or the object is absent."""
    return None if obj is None else (obj["metadata"].get("annotations") or {}).get(name)
