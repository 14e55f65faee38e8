"""Why a spec cannot be made into objects: a value that becomes a condition."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """`reason` is a condition's word; `message` a sentence that names the cause and the cure."""

    reason: str
    message: str


class CannotBuild(Exception):
    """Raised and caught within `build`: the first problem ends the rendering."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message)
