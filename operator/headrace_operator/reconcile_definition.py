"""A definition of ours: the list of protected Clusters on it, by which its deletion is refused.

The API server's own policy reads the list (crd/protection.py), so it holds while no operator runs.
Only an operator that sees every Cluster may write it.
"""

from typing import Final

from headrace_operator.context import Context
from headrace_operator.crd.protection import ANNOTATION, protected_clusters
from headrace_operator.errors import NotFound
from headrace_operator.kinds import CLUSTER, CRD, Key
from headrace_operator.watched import is_protected

LOOK_SECONDS: Final = 300.0
"""A definition that was replaced has lost its list; nothing tells us, for definitions are large
and not watched."""
_PICTURE_SECONDS: Final = 1.0


async def reconcile(context: Context, key: Key) -> float | None:
    """Seconds until the next look."""
    if not context.store.complete(CLUSTER):
        return _PICTURE_SECONDS
    held = [cluster["metadata"] for cluster in context.store.all(CLUSTER) if is_protected(cluster)]
    wanted = protected_clusters((found["namespace"], found["name"]) for found in held)
    try:
        live = await context.kube.get_metadata(CRD, None, key.name)
        if (live["metadata"].get("annotations") or {}).get(ANNOTATION) != wanted:
            patch = {"metadata": {"annotations": {ANNOTATION: wanted}}}
            await context.kube.merge_patch(CRD, None, key.name, patch)
    except NotFound:
        pass  # put there by nobody yet, or just deleted: there is nothing to guard
    return LOOK_SECONDS
