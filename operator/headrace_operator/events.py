"""Kubernetes Events about our resources: each said once, not once a pass.

Reconcilers say what they have just written into a status, so another process has nothing to say
again, and a quiet operator writes none. What flips back and forth is posted when (object, reason,
note) was not posted within REPEAT_SECONDS. Losing one is harmless, for the condition stands: a
failure to post is logged. The guard keeps a process that lost its Lease from posting at all.
"""

import uuid
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final, Literal

import structlog
from headrace.base.clock import Clock

from headrace_operator.errors import KubeError
from headrace_operator.kinds import Object
from headrace_operator.kube import Kube

REPEAT_SECONDS: Final = 3600
"""The API server itself keeps an Event for an hour by default (--event-ttl)."""

REMEMBERED_MAX: Final = 10_000
"""Of 150 bytes each: an Event for each of 5,000 Topics, twice."""

NOTE_CHARACTERS_MAX: Final = 1024
"""events.k8s.io/v1 refuses a longer note."""

_LOG = structlog.get_logger("headrace.operator.events")


class Events:
    """Posts deduplicated Events."""

    def __init__(self, kube: Kube, clock: Clock, *, reporter: str) -> None:
        """`reporter` is this process' identity (reportingInstance)."""
        self._kube = kube
        self._clock = clock
        self._reporter = reporter
        self._said: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    async def say(
        self,
        regarding: Object,
        reason: str,
        note: str,
        *,
        kind: Literal["Normal", "Warning"] = "Normal",
        action: str = "Reconcile",
        related: Object | None = None,
    ) -> None:
        """One sentence about an object (apiVersion, kind, metadata). `reason` is one CamelCase
        word, `related` another object it is about, such as the pod of a Cluster."""
        note = note[:NOTE_CHARACTERS_MAX]
        said = (regarding["metadata"]["uid"], reason, note)
        if not self._is_news(said):
            return
        metadata = regarding["metadata"]
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
                "namespace": metadata.get("namespace") or "default",
            },
            "eventTime": datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).strftime(
                "%Y-%m-%dT%H:%M:%S.%fZ"
            ),
            "reportingController": "headrace.io/operator",
            "reportingInstance": self._reporter[:128],
            "action": action,
            "reason": reason,
            "type": kind,
            "note": note,
            "regarding": _reference(regarding),
        }
        if related is not None:
            event["related"] = _reference(related)
        try:
            await self._kube.create_event(event)
        except KubeError as failed:
            self._said.pop(said, None)
            _LOG.warning("event_not_posted", reason=reason, error=str(failed))

    def _is_news(self, said: tuple[str, str, str]) -> bool:
        now = self._clock.monotonic_ms()
        while self._said:
            _, at = next(iter(self._said.items()))
            if now - at < REPEAT_SECONDS * 1000 and len(self._said) < REMEMBERED_MAX:
                break
            self._said.popitem(last=False)
        if said in self._said:
            return False
        self._said[said] = now
        return True


def _reference(obj: Object) -> Object:
    metadata = obj["metadata"]
    fields = {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "namespace": metadata.get("namespace"),
        "name": metadata.get("name"),
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {name: value for name, value in fields.items() if value is not None}
