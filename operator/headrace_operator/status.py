"""Status as kstatus reads it: Ready, Reconciling and Stalled, each with the generation it is about.

Exactly one of three states holds, so `kubectl wait`, Flux, Argo CD and `helm --wait` all agree:
current (Ready), on its way (Reconciling) or stuck until a person acts (Stalled). Written by
server-side apply on the status subresource and only when something changed; a condition's
lastTransitionTime moves only when its status flips. spec is never written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from headrace_operator.context import Context
from headrace_operator.errors import Conflict
from headrace_operator.kinds import Object, key_of, kind_of

READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
AVAILABLE: Final = "Available"

MESSAGE_CHARACTERS_MAX: Final = 1024
"""A sentence; what is longer names too many things."""

_ATTEMPTS: Final = 3
"""Where the store is behind the API server, the second one succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """One condition without its times: `value` None is Unknown, `reason` one CamelCase word,
    `message` a sentence that a person can act on."""

    type: str
    value: bool | None
    reason: str
    message: str


def kstatus(state: str, reason: str, message: str) -> list[Says]:
    """The three conditions of a state: READY, RECONCILING or STALLED."""
    return [
        Says(type=name, value=name == state, reason=reason, message=message)
        for name in (READY, RECONCILING, STALLED)
    ]


def available(value: bool | None, reason: str, message: str) -> Says:
    """Whether clients are served, whatever is being changed meanwhile."""
    return Says(type=AVAILABLE, value=value, reason=reason, message=message)


def rendered(
    current: Object, generation: int, says: Sequence[Says], fields: Object, now_ms: int
) -> Object:
    """The whole status to apply to `current`: `fields`, the generation that was looked at, and
    the conditions, which keep their transition times from it."""
    before = {
        condition["type"]: condition
        for condition in (current.get("status") or {}).get("conditions") or []
    }
    now = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = []
    for said in says:
        value = "Unknown" if said.value is None else str(said.value)
        old = before.get(said.type, {})
        kept = old.get("lastTransitionTime") if old.get("status") == value else None
        conditions.append(
            {
                "type": said.type,
                "status": value,
                "reason": said.reason,
                "message": said.message[:MESSAGE_CHARACTERS_MAX],
                "observedGeneration": generation,
                "lastTransitionTime": kept or now,
            }
        )
    return {**fields, "observedGeneration": generation, "conditions": conditions}


def is_written(obj: Object, status: Object) -> bool:
    """Whether the object's status already says this. Conditions of others are left out."""
    current = dict(obj.get("status") or {})
    ours = {condition["type"] for condition in status["conditions"]}
    current["conditions"] = sorted(
        (c for c in current.get("conditions") or [] if c["type"] in ours), key=_by_type
    )
    return current == {**status, "conditions": sorted(status["conditions"], key=_by_type)}


def is_current(obj: Object) -> bool:
    """Whether the object is Ready for the generation it has: nothing urgent to do for it."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    if "deletionTimestamp" in metadata:
        return False
    if status.get("observedGeneration") != metadata.get("generation"):
        return False
    return any(c["type"] == READY and c["status"] == "True" for c in status.get("conditions") or [])


async def write(
    context: Context, obj: Object, says: Sequence[Says], fields: Object | None = None
) -> Object:
    """Write the status of `obj` (one of ours, as the store has it) if it is news; returns the
    object as it then stands, which is also put into the store.

    `fields` are the kind's own status fields with their defaults, as model_dump(by_alias=True,
    exclude_none=True) gives them: a default that only the API server fills in would look like a
    difference for ever. Raises KubeError; NotFound or Conflict mean that the object went away.
    """
    kind, current = kind_of(obj), obj
    for attempt in range(_ATTEMPTS):
        status = rendered(
            current,
            obj["metadata"].get("generation", 0),
            says,
            fields or {},
            context.clock.wall_ms(),
        )
        if is_written(current, status):
            return current
        try:
            answer = await context.kube.patch_status(
                key_of(kind, obj),
                status,
                resource_version=current["metadata"]["resourceVersion"],
            )
        except Conflict:
            current = await context.kube.get(kind, obj["metadata"]["namespace"], _name(obj))
            if attempt == _ATTEMPTS - 1 or _uid(current) != _uid(obj):
                raise
        else:
            context.store.put(kind, answer)
            return answer
    raise Conflict(f"the status of {key_of(kind, obj)} changes all the time")


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def _by_type(condition: Any) -> str:
    return str(condition["type"])
