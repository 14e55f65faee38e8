"""What every coordinator is made of: a pure shard beside one partition of an internal topic.

A request is handled as (records, answers). The records are appended to the partition as one
batch and replayed at once; replaying is the only thing that changes durable state, so that what
is live is what a restart would load. Answers that promise durability leave once the records are
committed. What is not in records (who is in a rebalance, timers) lives in the shard and dies
with it. `server.coordinator` runs shards; groups are the first of them.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from headrace.base.errors import Code

Record = tuple[Any, Any]
"""A typed key and value; the value None is a tombstone. The shard encodes and decodes both."""

Answer = Any
"""What a request is answered with; for the groups the fields of the response."""


class RecordFault(Exception):
    """A record that a shard should know and cannot read, or has no form for in the log."""


class Now(NamedTuple):
    """Wall time goes into records, monotonic time into timers."""

    wall_ms: int
    monotonic_ms: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What handling a request, or a timer that is due, leads to. Filled while handling.

    `answer` goes to whoever asked, once `records` are committed; None means that the asker
    waits and is answered by its token in some later outcome's `replies`. `replies` go out at
    once. `then` runs once the records are committed (NONE) or refused (why), and takes over
    from `answer`. A `divisible` outcome may be written as several batches.
    """

    records: list[Record] = field(default_factory=list)
    answer: Answer | None = None
    replies: list[tuple[int, Answer]] = field(default_factory=list)
    then: "Callable[[Code, Now], Outcome] | None" = None
    divisible: bool = False


class Shard(Protocol):
    """One partition's state machine. Never blocks, never reads a clock."""

    def decode(self, key: bytes, value: bytes | None) -> Record | None:
        """A record of the log, typed; None for a kind this shard does not know.

        Raises RecordFault.
        """
        ...

    def encode(self, record: Record) -> tuple[bytes, bytes | None]:
        """Key and value as they stand in the log. Raises RecordFault."""
        ...

    def replay(self, record: Record) -> None:
        """Apply one record: the only mutator of durable state."""
        ...

    def loaded(self, now: Now) -> Outcome:
        """The whole log was replayed: start timers."""
        ...

    def deadline(self) -> int | None:
        """Monotonic ms of the next timer, or None. May be early, never late."""
        ...

    def expire(self, now: Now) -> Outcome | None:
        """Handle one timer that is due; None where none is."""
        ...


_HASHES_KEPT: Final = 4096
"""A commit looks its group up each time; a broker coordinates few groups."""


@lru_cache(_HASHES_KEPT)
def partition_of(key: str, partitions: int) -> int:
    """The partition that coordinates `key`: Java's String.hashCode, sign bit cleared, modulo.

    Java hashes UTF-16 code units: a character outside the basic plane counts as two.
    """
    data = key.encode("utf-16-le", "surrogatepass")
    value = 0
    for (unit,) in struct.iter_unpack("<H", data):
        value = (31 * value + unit) & 0xFFFFFFFF
    return (value & 0x7FFFFFFF) % partitions
