"""Counts of requests, errors and bytes as plain integers; /metrics renders them."""

from collections import defaultdict
from typing import Final

from headrace.base.errors import Code

_KEYS_MAX: Final = 128


class RequestCounts:
    """Counted on the hot path, so plain lists by API key."""

    __slots__ = ("errors", "requests")

    def __init__(self) -> None:
        self.requests = [0] * _KEYS_MAX
        self.errors: defaultdict[tuple[int, int], int] = defaultdict(int)

    def count(self, api_key: int) -> None:
        """One request of a known API."""
        self.requests[api_key] += 1

    def count_error(self, api_key: int, code: int) -> None:
        """One answer, or one item of it, that carried an error."""
        self.errors[api_key, code] += 1

    @staticmethod
    def error_name(code: int) -> str:
        """The error's name in Kafka's table, or its number."""
        try:
            return Code(code).name
        except ValueError:
            return str(code)
