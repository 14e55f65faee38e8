"""What the log asks of whoever remembers producers: it feeds recovery and fills snapshots."""

from collections.abc import Sequence
from typing import Protocol

from headrace.wire.batch import BatchHeader
from headrace.wire.producer_snapshot import ProducerEntry


class Ledger(Protocol):
    """The idempotent producers of one partition, as the batches below the log's end left them."""

    def observe(self, header: BatchHeader) -> None:
        """A batch that is in the log; called in offset order for each that has a producer id."""
        ...

    def entries(self) -> list[ProducerEntry]:
        """Everything known, for a snapshot at the log's end."""
        ...

    def restore(self, entries: Sequence[ProducerEntry]) -> None:
        """Forget everything and know this instead."""
        ...
