"""Our own copy of the objects that matter: fed by watch events, swept by complete LISTs.

Pure. Events may come late, twice or in another order than the sweeps, so everything is applied
by resourceVersion, never backwards; a deleted object leaves a tombstone until a LIST that is
newer than its end. Only a complete LIST shows absence: until one was swept, `complete` is False
and "not here" means "not known".
"""

import sys
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from headrace_operator.kinds import Key, Kind, Object, key_of

Owners = Callable[[Object], Iterable[Hashable]]
"""What an object is found by besides its name: the index entries of one kind."""

_DROPPED_ANNOTATIONS: Final = ("kubectl.kubernetes.io/last-applied-configuration",)


def version_of(obj: Object) -> int:
    """The resourceVersion as the number it is; comparable within a resource since Kubernetes
    1.35 by contract (KEP-5504), on every etcd-backed server by construction."""
    return int(obj["metadata"].get("resourceVersion") or 0)


def lean(kind: Kind, obj: Object) -> Object:
    """The object without what nobody here reads, its field names shared between objects, and
    with the apiVersion and kind that items of a LIST lack.

    managedFields and kubectl's copy of the object are two thirds of a small resource.
    """
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations:
        metadata["annotations"] = {
            k: v for k, v in annotations.items() if k not in _DROPPED_ANNOTATIONS
        }
    return _shared({**obj, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata})


def _shared(value: Object) -> Object:
    return {sys.intern(name): _shared_value(item) for name, item in value.items()}


def _shared_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _shared(value)
    if isinstance(value, list):
        return [_shared_value(item) for item in value]
    return value


@dataclass(slots=True)
class _Shelf:
    """All objects of one kind. Mutable: it is the store's inside."""

    owners: Owners
    objects: dict[Key, Object] = field(default_factory=dict)
    by_owner: dict[Hashable, dict[Key, None]] = field(default_factory=dict)
    tombstones: dict[str, int] = field(default_factory=dict)
    complete: bool = False
    swept_version: int = 0
    """Of the last sweep: what it did not show and is not newer is gone."""

    def place(self, key: Key, obj: Object) -> None:
        self.remove(key)
        self.objects[key] = obj
        for owner in self.owners(obj):
            self.by_owner.setdefault(owner, {})[key] = None

    def remove(self, key: Key) -> None:
        old = self.objects.pop(key, None)
        for owner in self.owners(old) if old is not None else ():
            keys = self.by_owner.get(owner, {})
            keys.pop(key, None)
            if not keys:
                self.by_owner.pop(owner, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an event or a sweep changed: `old` is None for a new object, `new` for a gone one."""

    key: Key
    old: Object | None
    new: Object | None


class Store:
    """Objects by kind, namespace and name. Callers must not change what they are given."""

    def __init__(self, owners: dict[Kind, Owners]) -> None:
        """`owners` names every kind that is kept and how its objects find who they belong to."""
        self._shelves = {kind: _Shelf(found) for kind, found in owners.items()}

    @property
    def kinds(self) -> list[Kind]:
        return list(self._shelves)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._shelves[kind].objects.get(Key(kind, namespace, name))

    def at(self, key: Key) -> Object | None:
        return self._shelves[key.kind].objects.get(key)

    def all(self, kind: Kind) -> list[Object]:
        return list(self._shelves[kind].objects.values())

    def owned(self, kind: Kind, owner: Hashable) -> list[Object]:
        """The objects of that kind whose index names `owner`: for Topics and Quotas the
        (namespace, name) of their Cluster, for all else the UID of an owner reference."""
        shelf = self._shelves[kind]
        return [shelf.objects[key] for key in shelf.by_owner.get(owner, ())]

    def count(self, kind: Kind) -> int:
        return len(self._shelves[kind].objects)

    def complete(self, kind: Kind) -> bool:
        """Whether what is not here is absent. False until the first complete LIST."""
        return self._shelves[kind].complete

    def put(self, kind: Kind, obj: Object) -> Change | None:
        """An object as an event or an answer showed it; None where that is old news."""
        shelf, key = self._shelves[kind], key_of(kind, obj)
        if key not in shelf.objects and version_of(obj) <= shelf.swept_version:
            return None
        return _put(shelf, key, kind, obj)

    def drop(self, kind: Kind, obj: Object) -> Change | None:
        """The object of a DELETED event, whose resourceVersion is that of the deletion."""
        shelf, key = self._shelves[kind], key_of(kind, obj)
        uid = obj["metadata"].get("uid", "")
        shelf.tombstones[uid] = max(version_of(obj), shelf.tombstones.get(uid, 0))
        old = shelf.objects.get(key)
        if old is None or old["metadata"].get("uid", "") != uid:
            return None
        shelf.remove(key)
        return Change(key=key, old=old, new=None)

    def sweep(self, kind: Kind) -> "Sweep":
        """Begin to take in a complete LIST of all that is kept of this kind."""
        return Sweep(self._shelves[kind], kind)


class Sweep:
    """One complete LIST on its way in, page by page, so that it is never in memory whole."""

    def __init__(self, shelf: _Shelf, kind: Kind) -> None:
        self._shelf = shelf
        self._kind = kind
        self._seen: set[Key] = set()
        self._changes: list[Change] = []

    def take(self, items: Iterable[Object]) -> None:
        for item in items:
            key = key_of(self._kind, item)
            self._seen.add(key)
            change = _put(self._shelf, key, self._kind, item)
            if change is not None:
                self._changes.append(change)

    def finish(self, resource_version: int) -> list[Change]:
        """The LIST is complete; it was read at `resource_version` (of several LISTs the lowest).

        Returns what no event had told: the measure of how deaf the watch is.
        """
        shelf = self._shelf
        for key, obj in list(shelf.objects.items()):
            if key not in self._seen and version_of(obj) <= resource_version:
                shelf.remove(key)
                self._changes.append(Change(key=key, old=obj, new=None))
        shelf.tombstones = {u: v for u, v in shelf.tombstones.items() if v > resource_version}
        shelf.swept_version = max(shelf.swept_version, resource_version)
        shelf.complete = True
        return self._changes


def _put(shelf: _Shelf, key: Key, kind: Kind, obj: Object) -> Change | None:
    old, version = shelf.objects.get(key), version_of(obj)
    if version <= shelf.tombstones.get(obj["metadata"].get("uid", ""), -1):
        return None
    if old is not None and version <= version_of(old):
        return None
    kept = lean(kind, obj)
    shelf.place(key, kept)
    return Change(key=key, old=old, new=kept)
