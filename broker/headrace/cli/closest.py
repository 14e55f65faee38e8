"""What was meant by a name that is not there."""

from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.6
"""difflib's own: of six letters two may differ."""


def closest(name: str, known: Iterable[str]) -> str:
    """`; the closest is NAME`, to go behind a sentence; empty where none is close."""
    found = get_close_matches(name, list(known), n=1, cutoff=_ALIKE)
    return f"; the closest is {found[0]}" if found else ""
