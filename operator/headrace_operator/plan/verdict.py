"""What a plan says about a resource, in a condition's terms: pure values.

The states are kstatus': a resource is current, on its way, or stuck until somebody acts.
"""

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How a resource stands."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One condition: `reason` is a CamelCase word, `message` a sentence a person can act on."""

    state: State
    reason: str
    message: str


def ready(reason: str, message: str) -> Verdict:
    """The resource is as its spec says."""
    return Verdict(state=State.READY, reason=reason, message=message)


def reconciling(reason: str, message: str) -> Verdict:
    """It is not yet as its spec says, and the operator goes on by itself."""
    return Verdict(state=State.RECONCILING, reason=reason, message=message)


def stalled(reason: str, message: str) -> Verdict:
    """It stays as it is until somebody does what the message says."""
    return Verdict(state=State.STALLED, reason=reason, message=message)
