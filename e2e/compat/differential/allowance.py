"""A committed permission for an answer to differ from Kafka's, with its reason."""

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any


class _Absent:
    """Stands where one side has no such field or element."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


class How(Enum):
    """How far a field may differ."""

    FREELY = "any value"
    IN_WORDING = "another text, or a text where Kafka has none"
    AS_SAID = "exactly the two values named"
    NOT_HERE = "Kafka has it, Headrace has not"
    NOT_THERE = "Headrace has it, Kafka has not"


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """Where an answer may differ. `*` in a pattern stands for any text.

    Not slotted: the compiled patterns are cached on the instance.
    """

    path: str
    why: str
    api: str = "*"
    sequence: str = "*"
    how: How = How.FREELY
    kafka: Any = None
    headrace: Any = None

    def covers(self, sequence: str, step: str, path: str, kafka: Any, headrace: Any) -> bool:
        """Whether this difference is the one that is allowed here."""
        api, version = step.split()[1:3]
        place = (sequence, f"{api} {version}", path)
        if not all(p.fullmatch(text) for p, text in zip(self._patterns, place, strict=True)):
            return False
        match self.how:
            case How.FREELY:
                return True
            case How.IN_WORDING:
                return isinstance(kafka, str | None) and isinstance(headrace, str)
            case How.AS_SAID:
                return bool(kafka == self.kafka and headrace == self.headrace)
            case How.NOT_HERE:
                return headrace is ABSENT
            case How.NOT_THERE:
                return kafka is ABSENT

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        api = self.api if " " in self.api else f"{self.api} *"
        return tuple(_compiled(text) for text in (self.sequence, api, self.path))


def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)
