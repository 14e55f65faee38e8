"""The producer's and the consumer's settings. Names are Kafka's, with units last."""

from dataclasses import dataclass
from typing import Final

from headrace.base.units import KIB, MIB, SECOND_MS

CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""Compression by name; the number stands in a batch's attributes."""

ACKS_ALL: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerSettings:
    """`acks`: -1 all replicas in sync, 1 the leader, 0 nobody.

    With acks=all the producer is idempotent: a retry writes nothing twice.
    """

    acks: int = ACKS_ALL
    compression: str = "none"
    linger_ms: float = 5
    batch_bytes: int = 256 * KIB
    """Several times Kafka's 16 KiB: fewer requests, and still a quarter of max.message.bytes."""
    buffer_bytes: int = 32 * MIB
    """Kafka's buffer.memory: `send` waits while more than this is not acknowledged."""
    request_timeout_ms: int = 30 * SECOND_MS
    delivery_timeout_ms: int = 120 * SECOND_MS
    """A batch that cannot be written for this long fails."""

    @property
    def idempotent(self) -> bool:
        return self.acks == ACKS_ALL

    @property
    def codec(self) -> int:
        return CODECS[self.compression]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """How a consumer fetches."""

    fetch_max_bytes: int = 8 * MIB
    """Of one answer. Two of them are in memory at a time for each broker."""
    partition_max_bytes: int = MIB
    """Of one partition in an answer, so that one does not starve the others."""
    fetch_max_wait_ms: int = 500
    committed_only: bool = False
    """isolation.level=read_committed."""
    unreachable_timeout_ms: int | None = 60 * SECOND_MS
    """`poll` raises once no broker has answered for this long; None waits for ever."""
