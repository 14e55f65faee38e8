"""The sequences that are played to Kafka and to Headrace: written by hand and generated."""

from collections.abc import Iterator

from e2e.compat.differential.sequence import WRITTEN, Sequence
from e2e.compat.sequences import configs, fetch, groups, produce, quotas, topics  # noqa: F401 - they collect themselves
from e2e.compat.sequences.bounds import bounds
from e2e.compat.sequences.walks import walks


def all_sequences() -> Iterator[Sequence]:
    """Every sequence, in a fixed order."""
    yield from bounds()
    yield from WRITTEN
    yield from walks()
