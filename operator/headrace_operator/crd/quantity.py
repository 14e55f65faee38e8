"""Kubernetes quantities: 10Gi, 500m, 1e6.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

CHARACTERS_MAX: Final = 32
"""No quantity needs more: 2^63 has 19 digits."""

_FORM: Final = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?"
)
_SCALES: Final = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def amount(text: str) -> Decimal:
    """The number that `text` stands for. Raises ValueError where it is no quantity."""
    form = _FORM.fullmatch(text) if len(text) <= CHARACTERS_MAX else None
    if form is None:
        raise ValueError(f"{text[:CHARACTERS_MAX]!r} is not a quantity such as 10Gi, 500m or 1e6")
    digits, suffix = form.group(1), form.group(2) or ""
    scale = _SCALES.get(suffix)
    return Decimal(digits) * scale if scale is not None else Decimal(digits + suffix)


def whole_amount(text: str) -> int:
    """The same as a whole number (bytes), a fraction rounded up as Kubernetes does."""
    return int(amount(text).to_integral_value(ROUND_CEILING))


def _text(value: Any) -> Any:
    """The API gives a number where one was written without a unit."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _checked(text: str) -> str:
    amount(text)
    return text


def cel_positive(self: str = "self") -> str:
    """CEL: the quantity is one, and above 0."""
    text = f"string({self})"
    return f"isQuantity({text}) && quantity({text}).isGreaterThan(quantity('0'))"


Quantity = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "maxLength": CHARACTERS_MAX,
        }
    ),
]
"""A quantity as it was written; `amount` reads it."""
