"""From events and sweeps into the store, and from there onto the queue.

A standby keeps its store warm but queues nothing; on becoming the active one it queues all it
has: what is Ready for its generation in the background, everything else first.
"""

import structlog

from headrace_operator import status
from headrace_operator.kinds import Kind, Object, key_of
from headrace_operator.kube import Kube
from headrace_operator.metrics import Metrics
from headrace_operator.queue import Queue
from headrace_operator.settings import Settings
from headrace_operator.store import Change, Store, version_of
from headrace_operator.watched import OURS, Watched, guarded, guards, wakes, watched

_LOG = structlog.get_logger("headrace.operator.feed")


class Feed:
    """Keeps the store like the API server, and tells the queue."""

    def __init__(
        self, kube: Kube, store: Store, queue: Queue, metrics: Metrics, settings: Settings
    ) -> None:
        self._watched = watched(settings)
        self._guarded = guarded(settings)
        self._kube = kube
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._settings = settings
        self.active = False
        self.deaf_sweeps = 0
        """Sweeps in a row that found what no event told even until the next sweep."""
        self._unheard: dict[str, int] = {}
        """What the last sweep told before any event: versions by UID, until the event comes."""

    def heard(self, kind: Kind, event_type: str | None, obj: Object) -> None:
        """One watch event; `event_type` None stands for an object of a first listing."""
        uid = obj["metadata"]["uid"]
        if uid in self._unheard and version_of(obj) >= self._unheard[uid]:
            del self._unheard[uid]
        if event_type == "DELETED":
            change = self._store.drop(kind, obj)
        else:
            change = self._store.put(kind, obj)
        if change is not None:
            self._tell(change)

    def activate(self) -> None:
        """This process is the active one from here on."""
        self.active = True
        for key in self._guarded:
            self._queue.add(key)
        for kind in OURS:
            for obj in self._store.all(kind):
                self._queue.add(key_of(kind, obj), background=status.is_current(obj))

    async def sweep(self) -> None:
        """Take in a complete LIST of everything that is watched. Raises KubeError where one kind
        could not be listed; what was listed until then stays."""
        missed = len(self._unheard)
        self._unheard.clear()
        self.deaf_sweeps = self.deaf_sweeps + 1 if missed else 0
        self._metrics.swept(missed)
        if missed:
            _LOG.warning("events_missed", objects=missed)
        for each in self._watched:
            first = not self._store.complete(each.kind)
            for change in await self._sweep_kind(each):
                obj = change.new or change.old
                if not first and obj is not None:
                    self._unheard[obj["metadata"]["uid"]] = version_of(obj)
                self._tell(change)

    async def _sweep_kind(self, each: Watched) -> list[Change]:
        sweep = self._store.sweep(each.kind)
        version = 0
        for namespace in self._scopes(each.kind):
            listed = 0
            async for page in self._kube.list_pages(each.kind, namespace, labels=each.labels):
                sweep.take(page.items)
                listed = int(page.resource_version or 0)
            version = min(version, listed) if version else listed
        return sweep.finish(version)

    def _scopes(self, kind: Kind) -> list[str | None]:
        if self._settings.all_namespaces or not kind.namespaced:
            return [None]
        return list(self._settings.namespaces)

    def _tell(self, change: Change) -> None:
        if self.active:
            for key in (*wakes(self._store, change), *(self._guarded if guards(change) else ())):
                self._queue.add(key)
