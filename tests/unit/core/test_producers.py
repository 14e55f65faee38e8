"""Idempotent producers: rule by rule, and against a dumb model that remembers the whole log."""

from dataclasses import dataclass, field

from headrace.base.errors import Code, Refusal
from headrace.core.producers import Duplicate, Producers
from headrace.wire.batch import CONTROL, TRANSACTIONAL, BatchHeader
from headrace.wire.producer_snapshot import decode_snapshot, encode_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

LAST = 2**31 - 1


def append(
    producers: Producers,
    sequence: int,
    count: int = 1,
    *,
    offset: int,
    epoch: int = 0,
    producer: int = 7,
    timestamp: int = 1000,
) -> Duplicate | Refusal | None:
    verdict = producers.check(producer, epoch, sequence, count - 1)
    if verdict is None:
        producers.appended(producer, epoch, sequence, count - 1, offset, timestamp)
    return verdict


def code(verdict: object) -> Code:
    assert isinstance(verdict, Refusal), verdict
    return verdict.code


def header(
    *,
    base_offset: int,
    count: int = 1,
    producer: int = 7,
    epoch: int = 0,
    sequence: int = 0,
    attributes: int = 0,
    timestamp: int = 1000,
) -> BatchHeader:
    return BatchHeader(
        base_offset,
        49,
        0,
        2,
        0,
        attributes,
        max(0, count - 1),
        timestamp,
        timestamp,
        producer,
        epoch,
        sequence,
        count,
    )


def test_the_next_sequence_is_accepted_and_a_gap_is_not() -> None:
    producers = Producers()
    assert append(producers, 0, 10, offset=100) is None
    assert code(append(producers, 11, offset=110)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert append(producers, 10, offset=110) is None


def test_no_state_accepts_any_sequence() -> None:
    assert append(Producers(), 4711, offset=5) is None


def test_a_repeat_of_the_last_five_returns_the_first_answer() -> None:
    producers = Producers()
    for n in range(6):
        assert append(producers, n * 10, 10, offset=1000 + n * 20, timestamp=50 + n) is None
    for n in range(1, 6):
        assert append(producers, n * 10, 10, offset=9999) == Duplicate(
            1000 + n * 20, 1009 + n * 20, 50 + n
        )
    assert code(append(producers, 0, 10, offset=9999)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_repeat_must_have_the_same_range() -> None:
    producers = Producers()
    append(producers, 0, 10, offset=0)
    assert code(append(producers, 0, 9, offset=10)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert code(append(producers, 1, 9, offset=10)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_sequences_wrap_to_zero_inside_and_between_batches() -> None:
    producers = Producers()
    append(producers, LAST - 1, 2, offset=0)
    assert append(producers, 0, 3, offset=2) is None
    producers = Producers()
    append(producers, LAST, 3, offset=0)
    assert append(producers, LAST, 3, offset=9) == Duplicate(0, 2, 1000)
    assert append(producers, 2, offset=3) is None


def test_a_new_epoch_starts_at_zero_and_the_old_one_is_fenced() -> None:
    producers = Producers()
    append(producers, 0, 5, offset=0, epoch=3)
    assert code(append(producers, 5, offset=5, epoch=4)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert append(producers, 0, offset=5, epoch=4) is None
    assert code(append(producers, 5, offset=6, epoch=3)) is Code.INVALID_PRODUCER_EPOCH
    assert code(append(producers, 0, 5, offset=6, epoch=3)) is Code.INVALID_PRODUCER_EPOCH
    assert append(producers, 1, offset=6, epoch=4) is None


def test_after_a_marker_alone_the_sequence_starts_at_zero() -> None:
    producers = Producers()
    producers.observe(header(base_offset=4, epoch=2, attributes=CONTROL | TRANSACTIONAL))
    assert code(append(producers, 3, offset=5, epoch=2)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert append(producers, 0, offset=5, epoch=2) is None


def test_an_open_transaction_is_kept_until_its_marker_and_never_expires() -> None:
    producers = Producers()
    producers.observe(header(base_offset=4, attributes=TRANSACTIONAL))
    producers.observe(header(base_offset=5, sequence=1, attributes=TRANSACTIONAL))
    assert producers.entries()[0].current_txn_first_offset == 4
    assert producers.expire(10**9, 1) == 0
    empty = header(base_offset=6, count=0, attributes=CONTROL | TRANSACTIONAL)
    producers.observe(empty)
    assert producers.entries()[0].current_txn_first_offset == 4
    producers.observe(header(base_offset=6, attributes=CONTROL | TRANSACTIONAL))
    assert producers.entries()[0].current_txn_first_offset == -1
    assert producers.expire(10**9, 1) == 1


def test_who_is_idle_expires_and_may_then_send_any_sequence() -> None:
    producers = Producers()
    append(producers, 0, offset=0, producer=1, timestamp=1000)
    append(producers, 0, offset=1, producer=2, timestamp=2000)
    assert producers.expire(6000, 5000) == 1
    assert [entry.producer_id for entry in producers.entries()] == [2]
    assert append(producers, 9, offset=2, producer=1) is None


def test_the_number_of_producers_is_bounded_and_the_oldest_go() -> None:
    producers = Producers(max_producers=32)
    for n in range(1000):
        append(producers, 0, offset=n, producer=n)
        producers.check_invariants()
    assert 30 <= len(producers) <= 32
    assert min(entry.producer_id for entry in producers.entries()) >= 968
    restored = Producers(max_producers=8)
    restored.restore(producers.entries())
    assert [entry.producer_id for entry in restored.entries()] == list(range(992, 1000))


def test_batches_without_a_producer_are_nobody() -> None:
    producers = Producers()
    producers.observe(header(base_offset=0, producer=-1, epoch=-1, sequence=-1))
    assert producers.entries() == []


@dataclass
class Model:
    """Every accepted batch of each producer, for ever."""

    batches: dict[int, list[tuple[int, int, int, int, int]]] = field(default_factory=dict)

    def expect(self, producer: int, epoch: int, sequence: int, count: int) -> object:
        known = self.batches.get(producer)
        if not known:
            return None
        current = known[-1][0]
        if epoch < current:
            return Code.INVALID_PRODUCER_EPOCH
        if epoch > current:
            return None if sequence == 0 else Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        of_epoch = [batch for batch in known if batch[0] == epoch]
        for _, base, size, offset, timestamp in of_epoch[-5:]:
            if (base, size) == (sequence, count):
                return Duplicate(offset, offset + size - 1, timestamp)
        _, base, size, _, _ = of_epoch[-1]
        expected = (base + size) % 2**31
        return None if sequence == expected else Code.OUT_OF_ORDER_SEQUENCE_NUMBER


steps = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.integers(0, 2),
        st.sampled_from(["next", "again", "zero", "skip"]),
        st.integers(0, 6),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_equals_the_model_and_its_own_replay(script: list[tuple[int, int, str, int, int, bool]]):
    producers, replayed, model = Producers(), Producers(), Model()
    offset = 0
    for producer, epoch, kind, back, count, near_the_end in script:
        known = model.batches.setdefault(producer, [])
        sequence, size = (LAST - 2 if near_the_end and not known else 0), count
        if known and kind != "zero":
            _, base, last_size, _, _ = known[-1]
            sequence = (base + last_size + (kind == "skip")) % 2**31
            if kind == "again" and back < len(known):
                _, sequence, size, _, _ = known[-1 - back]
        expected = model.expect(producer, epoch, sequence, size)
        verdict = producers.check(producer, epoch, sequence, size - 1)
        assert (verdict.code if isinstance(verdict, Refusal) else verdict) == expected
        if verdict is None:
            producers.appended(producer, epoch, sequence, size - 1, offset, offset + 5)
            replayed.observe(
                header(
                    base_offset=offset,
                    count=size,
                    producer=producer,
                    epoch=epoch,
                    sequence=sequence,
                    timestamp=offset + 5,
                )
            )
            known.append((epoch, sequence, size, offset, offset + 5))
            offset += size
        producers.check_invariants()
        assert replayed.entries() == producers.entries()
    restored = Producers()
    restored.restore(decode_snapshot(encode_snapshot(producers.entries())))
    assert restored.entries() == producers.entries()
