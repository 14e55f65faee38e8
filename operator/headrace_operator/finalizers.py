"""Our finalizer on an object: set, taken off, and taken off everything.

Written as a merge patch guarded by the resourceVersion that was read, so no other finalizer that
somebody sets meanwhile can get lost: a race is a Conflict, and the next pass reads again.
"""

from collections.abc import Sequence
from typing import Final

from headrace_operator.errors import Conflict, NotFound
from headrace_operator.kinds import Kind, Object, kind_of
from headrace_operator.kube import Kube
from headrace_operator.watched import OURS

FINALIZER: Final = "headrace.io/finalizer"

_ATTEMPTS: Final = 5
"""Of a release that races with other writers."""


def has(obj: Object) -> bool:
    """Whether our finalizer holds the object."""
    return FINALIZER in (obj["metadata"].get("finalizers") or [])


async def add(kube: Kube, obj: Object) -> Object:
    """The object with our finalizer. Raises Conflict where `obj` is old."""
    if has(obj):
        return obj
    return await _patch(kube, obj, [*(obj["metadata"].get("finalizers") or []), FINALIZER])


async def remove(kube: Kube, obj: Object) -> Object | None:
    """The object without our finalizer, None where it is gone. Raises Conflict where `obj` is
    old."""
    if not has(obj):
        return obj
    rest = [name for name in obj["metadata"]["finalizers"] if name != FINALIZER]
    try:
        return await _patch(kube, obj, rest)
    except NotFound:
        return None


async def release_all(kube: Kube, namespaces: Sequence[str | None]) -> int:
    """Take our finalizer off every resource of ours in these namespaces (None: in all).

    Returns how many had it. For the end of an installation: nothing is cleaned up any more.
    """
    released = 0
    for kind in OURS:
        for namespace in namespaces:
            try:
                listing = await kube.list_all(kind, namespace)
            except NotFound:
                continue
            for obj in listing.items:
                obj |= {"apiVersion": kind.api_version, "kind": kind.name}
                released += await _release(kube, kind, obj)
    return released


async def _release(kube: Kube, kind: Kind, obj: Object) -> bool:
    if not has(obj):
        return False
    current: Object | None = obj
    metadata = obj["metadata"]
    for attempt in range(_ATTEMPTS):
        try:
            if current is not None:
                await remove(kube, current)
            return True
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
            current = await kube.find(kind, metadata["namespace"], metadata["name"])
    return True


async def _patch(kube: Kube, obj: Object, finalizers: list[str]) -> Object:
    metadata = obj["metadata"]
    patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}}
    return await kube.merge_patch(kind_of(obj), metadata.get("namespace"), metadata["name"], patch)
