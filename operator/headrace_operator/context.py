"""What every reconciler is given, and the shape of a reconciler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from headrace.base.clock import Clock

from headrace_operator.admin import Admin
from headrace_operator.events import Events
from headrace_operator.kinds import Key
from headrace_operator.kube import Kube
from headrace_operator.queue import Queue
from headrace_operator.settings import Settings
from headrace_operator.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The operator's world, made once by `main`. Tests make their own with fakes."""

    kube: Kube
    store: Store
    queue: Queue
    settings: Settings
    clock: Clock
    events: Events
    admin: Admin


Reconcile = Callable[[Context, Key], Awaitable[float | None]]
"""Brings the world towards what the key's object says, in short re-entrant steps, and writes its
status. Returns the seconds until the next look, None where only an event can bring news. A key
whose object is gone is given once more. Raising KubeError means "try again later"."""
