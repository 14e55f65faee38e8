"""Resources in memory, behind the part of `Kube` that Topics and Quotas need.

What it promises, and the real API server with it, is in tests/kube_contract.py.
"""

import copy
import itertools
from typing import Any

from headrace_operator.errors import Conflict, NotFound
from headrace_operator.kinds import Key, Kind, Object
from headrace_operator.watched import OURS


class MemoryKube:
    """`writes` counts what changed something: a quiet operator makes none."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.events: list[Object] = []
        self.writes = 0
        self._versions = itertools.count(1)

    async def create(self, obj: Object) -> Object:
        kind = next(k for k in OURS if k.name == obj["kind"])
        metadata = obj["metadata"]
        made = copy.deepcopy(obj)
        made["metadata"] |= {
            "uid": metadata.get("uid") or f"uid-{next(self._versions)}",
            "generation": 1,
            "creationTimestamp": metadata.get("creationTimestamp", "2026-11-24T00:00:00Z"),
        }
        return self._keep(Key(kind, metadata["namespace"], metadata["name"]), made)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        key = Key(kind, namespace or "", name)
        if key not in self.objects:
            raise NotFound(f"there is no {key}")
        return copy.deepcopy(self.objects[key])

    async def merge_patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Object
    ) -> Object:
        found = await self.get(kind, namespace, name)
        self._guard(found, patch["metadata"].get("resourceVersion"))
        before = copy.deepcopy(found)
        for field in patch["metadata"].keys() - {"resourceVersion"}:
            found["metadata"][field] = patch["metadata"][field]
        if "spec" in patch and _merged(found["spec"], patch["spec"]) != before["spec"]:
            found["spec"] = _merged(found["spec"], patch["spec"])
            found["metadata"]["generation"] += 1
        key = Key(kind, namespace or "", name)
        if "deletionTimestamp" in found["metadata"] and not found["metadata"]["finalizers"]:
            self.writes += 1
            del self.objects[key]
            return found
        return self._keep(key, found)

    async def patch_status(self, key: Key, status: Object, *, resource_version: str) -> Object:
        found = await self.get(key.kind, key.namespace, key.name)
        self._guard(found, resource_version)
        found["status"] = copy.deepcopy(status)
        return self._keep(key, found)

    async def delete(self, kind: Kind, namespace: str | None, name: str) -> bool:
        found = await self.get(kind, namespace, name)
        key = Key(kind, namespace or "", name)
        if found["metadata"].get("finalizers"):
            found["metadata"]["deletionTimestamp"] = "2026-11-24T01:00:00Z"
            found["metadata"]["generation"] += 1
            self._keep(key, found)
        else:
            del self.objects[key]
        return True

    async def create_event(self, event: Object) -> None:
        self.events.append(event)

    def _guard(self, found: Object, resource_version: str | None) -> None:
        if resource_version not in (None, found["metadata"]["resourceVersion"]):
            raise Conflict("the object has been modified")

    def _keep(self, key: Key, obj: Object) -> Object:
        before = self.objects.get(key)
        if before is not None and before == obj:
            return copy.deepcopy(before)
        self.writes += 1
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = copy.deepcopy(obj)
        return obj


def _merged(spec: Any, patch: Any) -> Any:
    """RFC 7396 for objects of objects."""
    if not isinstance(spec, dict) or not isinstance(patch, dict):
        return patch
    merged = {k: v for k, v in spec.items() if not (k in patch and patch[k] is None)}
    return merged | {k: _merged(spec.get(k), v) for k, v in patch.items() if v is not None}
