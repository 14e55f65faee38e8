"""What one partition knows of its idempotent producers: their last five batches.

The state is a function of the log: the leader calls `check` before and `appended` after each
batch, recovery and followers call `observe` for each batch in order, and a snapshot is
`entries`. A snapshot keeps the last batch alone, as Kafka's does, so after a restart a retry of
an older one is out of order. Source: KIP-98, Kafka's ProducerStateManager, ProducerAppendInfo.

Invariants:
- the batches of one producer have one epoch, ascending offsets, and number at most five;
- at most `max_producers` are known: beyond, those whose last batch is oldest are forgotten,
  which a producer notices only if it repeats a batch (no state accepts any sequence).

Skipped: a partition remembers the 50,000 producers that wrote last; Kafka bounds them by time.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from headrace.base.errors import Code, Refusal
from headrace.base.invariant import invariant
from headrace.wire.batch import CONTROL, TRANSACTIONAL, BatchHeader
from headrace.wire.producer_snapshot import ProducerEntry

BATCHES_RETAINED: Final = 5
"""As many batches as a client may have in flight with idempotence on."""
MAX_PRODUCERS: Final = 50_000
"""About 30 MB a partition at worst. Kafka has no such bound, only the expiration."""

_SEQUENCE_MASK: Final = 2**31 - 1
_NONE: Final = -1

_Batch = tuple[int, int, int, int]
"""last sequence, last offset, offset delta, max timestamp"""


class Duplicate(NamedTuple):
    """The batch is already in the log: what its first append was answered."""

    base_offset: int
    last_offset: int
    timestamp: int


class _Producer:
    """Mutable, and without a dataclass: it is touched for every batch."""

    __slots__ = ("batches", "coordinator_epoch", "epoch", "timestamp", "txn_first_offset")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.timestamp = _NONE
        self.coordinator_epoch = _NONE
        self.txn_first_offset = _NONE
        self.batches: deque[_Batch] = deque(maxlen=BATCHES_RETAINED)


class Producers:
    """The producers of one partition, by producer id."""

    __slots__ = ("_max_producers", "_producers")

    def __init__(self, *, max_producers: int = MAX_PRODUCERS) -> None:
        self._max_producers = max_producers
        self._producers: dict[int, _Producer] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def check(
        self, producer_id: int, epoch: int, base_sequence: int, last_offset_delta: int
    ) -> Duplicate | Refusal | None:
        """Whether a client's batch is the next of its producer (None), a repeat, or wrong.

        HOT. Only for batches with a producer id. The refusals are INVALID_PRODUCER_EPOCH and
        OUT_OF_ORDER_SEQUENCE_NUMBER.
        """
        producer = self._producers.get(producer_id)
        if producer is None:
            return None
        if producer.epoch == epoch and producer.batches:
            last_sequence = producer.batches[-1][0]
            if base_sequence == (last_sequence + 1) & _SEQUENCE_MASK:
                return None
        return _judge(producer, producer_id, epoch, base_sequence, last_offset_delta)

    def appended(
        self,
        producer_id: int,
        epoch: int,
        base_sequence: int,
        last_offset_delta: int,
        base_offset: int,
        max_timestamp: int,
    ) -> None:
        """Remember a batch of data that is now in the log at `base_offset`. HOT."""
        producer = self._producers.get(producer_id)
        if producer is None:
            producer = self._admit(producer_id, epoch)
        elif producer.epoch != epoch:
            producer.epoch = epoch
            producer.batches.clear()
        producer.timestamp = max_timestamp
        producer.batches.append(
            (
                (base_sequence + last_offset_delta) & _SEQUENCE_MASK,
                base_offset + last_offset_delta,
                last_offset_delta,
                max_timestamp,
            )
        )

    def observe(self, header: BatchHeader) -> None:
        """Apply one batch of the log, without judging it: it was accepted when it was written."""
        if header.producer_id == _NONE:
            return
        if header.attributes & CONTROL:
            self._observe_marker(header)
            return
        self.appended(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.last_offset_delta,
            header.base_offset,
            header.max_timestamp,
        )
        producer = self._producers[header.producer_id]
        if header.attributes & TRANSACTIONAL and producer.txn_first_offset == _NONE:
            producer.txn_first_offset = header.base_offset

    def entries(self) -> list[ProducerEntry]:
        """The state for a snapshot and for DescribeProducers, by producer id."""
        return [_entry(key, self._producers[key]) for key in sorted(self._producers)]

    def restore(self, entries: Sequence[ProducerEntry]) -> None:
        """Replace all state by a snapshot's."""
        self._producers.clear()
        for entry in entries:
            producer = _Producer(entry.producer_epoch)
            producer.timestamp = entry.timestamp
            producer.coordinator_epoch = entry.coordinator_epoch
            producer.txn_first_offset = entry.current_txn_first_offset
            if entry.last_offset >= 0:
                producer.batches.append(
                    (entry.last_sequence, entry.last_offset, entry.offset_delta, entry.timestamp)
                )
            self._producers[entry.producer_id] = producer
        self._shed(self._max_producers)

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget who wrote nothing for `expiration_ms` (producer.id.expiration.ms).

        Never one with an open transaction. Returns how many were forgotten.
        """
        idle = [
            key
            for key, producer in self._producers.items()
            if producer.txn_first_offset == _NONE and now_ms - producer.timestamp >= expiration_ms
        ]
        for key in idle:
            del self._producers[key]
        return len(idle)

    def check_invariants(self) -> None:
        """Raise Bug unless what the module promises holds; for tests and the simulator."""
        invariant(len(self._producers) <= self._max_producers, "more producers than the bound")
        for key, producer in self._producers.items():
            offsets = [batch[1] for batch in producer.batches]
            invariant(offsets == sorted(set(offsets)), "batches out of order", producer_id=key)

    def _observe_marker(self, header: BatchHeader) -> None:
        """An end of a transaction; an empty one was left by the cleaner and says nothing."""
        if header.record_count == 0:
            return
        producer = self._producers.get(header.producer_id)
        if producer is None:
            producer = self._admit(header.producer_id, header.producer_epoch)
        elif producer.epoch != header.producer_epoch:
            producer.epoch = header.producer_epoch
            producer.batches.clear()
        producer.txn_first_offset = _NONE
        producer.timestamp = header.max_timestamp

    def _admit(self, producer_id: int, epoch: int) -> _Producer:
        """A new producer. A sixteenth of the bound goes at once, so that a flood costs little."""
        if len(self._producers) >= self._max_producers:
            self._shed(self._max_producers - max(1, self._max_producers // 16))
        producer = self._producers[producer_id] = _Producer(epoch)
        return producer

    def _shed(self, most: int) -> None:
        """Forget those with the oldest last batch until at most `most` are known."""
        if len(self._producers) <= most:
            return
        by_age = sorted(self._producers, key=lambda key: _last_offset(self._producers[key]))
        for key in by_age[: len(by_age) - most]:
            del self._producers[key]


def _judge(
    producer: _Producer, producer_id: int, epoch: int, base_sequence: int, last_offset_delta: int
) -> Duplicate | Refusal | None:
    """Whatever is not simply the next batch: a repeat, a new epoch, or a mistake."""
    if epoch < producer.epoch:
        return Refusal(
            Code.INVALID_PRODUCER_EPOCH,
            f"producer {producer_id} sent epoch {epoch}, but epoch {producer.epoch} was seen: "
            "a newer instance has taken over",
        )
    if epoch > producer.epoch:
        if base_sequence == 0 or producer.epoch == _NONE:
            return None
        return Refusal(
            Code.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {producer_id} began epoch {epoch} with sequence {base_sequence}, not 0",
        )
    last_sequence = (base_sequence + last_offset_delta) & _SEQUENCE_MASK
    for seen_last, last_offset, offset_delta, timestamp in producer.batches:
        if seen_last == last_sequence and offset_delta == last_offset_delta:
            return Duplicate(last_offset - offset_delta, last_offset, timestamp)
    expected = (producer.batches[-1][0] + 1) & _SEQUENCE_MASK if producer.batches else 0
    if base_sequence == expected:
        return None
    return Refusal(
        Code.OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {producer_id} sent sequence {base_sequence}, expected {expected}",
    )


def _last_offset(producer: _Producer) -> int:
    return producer.batches[-1][1] if producer.batches else _NONE


def _entry(producer_id: int, producer: _Producer) -> ProducerEntry:
    last_sequence, last_offset, offset_delta, _ = (
        producer.batches[-1] if producer.batches else (_NONE, _NONE, 0, _NONE)
    )
    return ProducerEntry(
        producer_id=producer_id,
        producer_epoch=producer.epoch,
        last_sequence=last_sequence,
        last_offset=last_offset,
        offset_delta=offset_delta,
        timestamp=producer.timestamp,
        coordinator_epoch=producer.coordinator_epoch,
        current_txn_first_offset=producer.txn_first_offset,
    )
