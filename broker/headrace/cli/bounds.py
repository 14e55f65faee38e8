"""Types of options whose values go into fields of the protocol: no number is larger than its field.

`topic create --partitions 99999999999` is then called wrongly, with a sentence.
"""

import math
from typing import Any, Final

import click

INT16_MAX: Final = 2**15 - 1
INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1

PARTITIONS: Final = click.IntRange(1, INT32_MAX)
PARTITION: Final = click.IntRange(0, INT32_MAX)
REPLICAS: Final = click.IntRange(1, INT16_MAX)
OFFSET: Final = click.IntRange(0, INT64_MAX)
OFFSET_OR_BEFORE_END: Final = click.IntRange(-INT64_MAX, INT64_MAX)

_SECONDS_MAX: Final = 7 * 24 * 3600
"""A week: nobody waits longer, and a timer takes it."""


class Seconds(click.FloatRange):
    """A time to wait, in seconds; not inf and not nan."""

    def __init__(self) -> None:
        super().__init__(min=0.1, max=_SECONDS_MAX)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return number
