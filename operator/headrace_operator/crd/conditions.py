"""Conditions as metav1.Condition has them, one of a type (kstatus: Ready, Reconciling, Stalled)."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from headrace_operator.crd.fields import MESSAGE_CHARACTERS_MAX
from headrace_operator.crd.struct import Struct, keyed_by

_CONDITIONS_MAX = 16  # Ready, Reconciling, Stalled, Available and a kind's own; others may add


class Condition(Struct):
    """One thing that is so, is not so, or cannot be told."""

    type: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """What the condition is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """One word for programs."""
    message: Annotated[str, Field(max_length=MESSAGE_CHARACTERS_MAX)]
    """One sentence for people: what is so, where, and what to do."""
    observed_generation: Annotated[int, Field(ge=-1)]
    """The generation of the spec that this was said about."""
    last_transition_time: datetime
    """When `status` last changed."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=_CONDITIONS_MAX), keyed_by("type")]
