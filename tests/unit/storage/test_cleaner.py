"""Compaction against a model that is a list: what stays, what goes, when, and how it is written."""

from dataclasses import replace

import pytest
from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.sim.disk import SimDisk
from headrace.sim.reading import index_faults, read_batches, read_records
from headrace.storage import cleaner_plan
from headrace.storage.cleaner import Cleaned, Uncleanable, clean
from headrace.storage.cleaner_swap import swap_in
from headrace.storage.log import Log
from headrace.wire.batch import (
    DELETE_HORIZON,
    LOG_APPEND_TIME,
    TRANSACTIONAL,
    read_batch_header,
    set_append_time,
)
from headrace.wire.records import Header, NewRecord, Record, build_batch
from hypothesis import given, settings
from hypothesis import strategies as st

HOUR = 3_600_000
COMPACT = LogSettings(
    cleanup_policy=("compact",),
    segment_bytes=1200,
    index_interval_bytes=200,
    delete_retention_ms=HOUR,
    min_cleanable_dirty_ratio=0.01,
)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class Topic:
    """A partition's log with a cleaner beside it, and every record ever written."""

    def __init__(self, settings: LogSettings = COMPACT, *, memory_bytes: int = 1_000_000) -> None:
        self.disk = SimDisk()
        self.disk.make_dir("/data")
        self.producers = Producers()
        self.settings = settings
        self.memory_bytes = memory_bytes
        self.log = self._open()
        self.written: dict[int, Record] = {}
        self.cleaned_to: int | None = None
        self.now_ms = 10 * HOUR

    def _open(self) -> Log:
        return Log.open(self.disk, "/data/t-0", self.settings, self.producers, clean=True, now_ms=0)

    def append(self, *records: NewRecord, producer: tuple[int, int] | None = None, **kind) -> None:
        base = self.log.log_end_offset
        producer_id, sequence = producer or (-1, -1)
        batch = build_batch(
            records,
            base_offset=base,
            leader_epoch=0,
            producer_id=producer_id,
            producer_epoch=0 if producer else -1,
            base_sequence=sequence,
            **kind,
        )
        self.append_batch(batch)
        for delta, record in enumerate(records):
            self.written[base + delta] = Record(
                base + delta, record.timestamp, record.key, record.value, tuple(record.headers)
            )

    def append_batch(self, batch: bytearray) -> None:
        header = read_batch_header(batch, 0)
        self.log.append(
            batch,
            last_offset=header.last_offset,
            max_timestamp=header.max_timestamp,
            leader_epoch=0,
            now_ms=self.now_ms,
        )
        self.producers.observe(header)

    def put(self, key: str, value: str | None, **kind) -> None:
        data = None if value is None else value.encode()
        self.append(NewRecord(key.encode(), data, self.now_ms), **kind)

    def roll(self) -> None:
        self.log.roll(self.now_ms)

    def flush(self) -> None:
        flush = self.log.begin_flush()
        flush.run()
        self.log.flushed(flush)

    def plan(self, last_stable_offset: int | None = None) -> cleaner_plan.Plan | None:
        end = self.log.log_end_offset if last_stable_offset is None else last_stable_offset
        return cleaner_plan.plan(
            self.log, self.cleaned_to, last_stable_offset=end, now_ms=self.now_ms
        )

    def clean(self) -> list[Cleaned]:
        """One pass over what is rolled; returns the groups."""
        self.flush()
        plan = self.plan()
        if plan is None:
            return []
        job = cleaner_plan.job(
            self.log,
            plan,
            last_offsets={e.producer_id: e.last_offset for e in self.producers.entries()},
            now_ms=self.now_ms,
            memory_bytes=self.memory_bytes,
        )
        groups = []
        for cleaned in clean(self.disk, job, lambda count: None):
            deleted = swap_in(self.log, cleaned.base_offset, cleaned.replaces)
            assert deleted is not None
            for path in deleted:
                self.disk.remove(path)
            groups.append(cleaned)
            self.cleaned_to = cleaned.end_offset
        return groups

    def records(self) -> list[Record]:
        return list(read_records(self.log))

    def values(self) -> list[str]:
        return [f"{r.offset}:{_text(r.key)}={_text(r.value)}" for r in self.records()]

    def check(self) -> None:
        """What holds at all times, whatever was cleaned."""
        found = self.records()
        offsets = [record.offset for record in found]
        assert offsets == sorted(set(offsets))
        for record in found:
            assert record == self.written[record.offset], "a record was changed"
        assert list(index_faults(self.log)) == []
        replayed = Producers()
        for header, _ in read_batches(self.log):
            replayed.observe(header)
        assert [(e.producer_id, e.last_sequence, e.last_offset) for e in replayed.entries()] == [
            (e.producer_id, e.last_sequence, e.last_offset) for e in self.producers.entries()
        ], "the log no longer says where its producers are"

    def reopen(self) -> None:
        before = self.records()
        self.log.close()
        self.log = self._open()
        assert self.records() == before


def _text(data: bytes | None) -> str:
    return "-" if data is None else data.decode()


def test_the_last_value_of_each_key_stays_at_its_offset() -> None:
    topic = Topic()
    for n in range(3):
        topic.put("a", f"a{n}")
        topic.put("b", f"b{n}")
    topic.put("c", "c0")
    topic.roll()
    topic.put("a", "active")
    topic.clean()
    assert topic.values() == ["4:a=a2", "5:b=b2", "6:c=c0", "7:a=active"]
    assert topic.log.log_start_offset == 0
    assert topic.log.log_end_offset == 8
    topic.check()
    topic.reopen()


def test_a_later_pass_uses_only_what_is_new_and_cleans_what_is_old() -> None:
    topic = Topic()
    topic.put("a", "1")
    topic.put("b", "1")
    topic.roll()
    topic.clean()
    topic.put("a", "2")
    topic.roll()
    (group,) = topic.clean()
    assert group.replaces == (0, 2), "small neighbours become one segment"
    assert topic.values() == ["1:b=1", "2:a=2"]
    topic.check()


def test_a_tombstone_stays_for_its_retention_and_then_goes() -> None:
    topic = Topic()
    topic.put("a", "1")
    topic.put("a", None)
    topic.put("b", "1")
    topic.roll()
    topic.clean()
    assert topic.values() == ["1:a=-", "2:b=1"]
    horizons = [h.base_timestamp for h, _ in read_batches(topic.log) if h.attributes & 0x40]
    assert horizons == [topic.now_ms + HOUR], "the horizon stands in for the base timestamp"
    topic.check()
    topic.now_ms += HOUR - 1
    topic.put("x", "1")
    topic.roll()
    topic.clean()
    assert "1:a=-" in topic.values(), "a horizon once set is not moved"
    topic.now_ms += 1
    topic.put("y", "1")
    topic.roll()
    topic.clean()
    assert topic.values() == ["2:b=1", "3:x=1", "4:y=1"]
    topic.check()


def test_the_last_batch_of_a_producer_and_of_a_segment_stay_without_records() -> None:
    topic = Topic()
    topic.put("a", "1", producer=(9, 0))
    topic.put("a", "2", producer=(8, 0))
    topic.put("a", "3")
    topic.put("b", "x" * 900)
    topic.roll()
    topic.put("a", "4")
    topic.put("b", "y" * 900)
    topic.roll()
    topic.clean()
    assert [(h.base_offset, h.record_count) for h, _ in read_batches(topic.log)] == [
        (0, 0),
        (1, 0),
        (3, 0),
        (4, 1),
        (5, 1),
    ]
    topic.check()
    topic.reopen()


def test_a_record_without_a_key_is_dropped() -> None:
    topic = Topic()
    topic.append(NewRecord(None, b"lost", 1), NewRecord(b"a", b"1", 1))
    topic.roll()
    topic.clean()
    assert topic.values() == ["1:a=1"]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_batches_keep_their_codec_times_and_headers(codec: int) -> None:
    topic = Topic()
    headers = (Header("h", b"v"), Header("n", None))
    long_key = b"k" * 300
    topic.append(
        NewRecord(b"a", b"1" * 200, 5000, headers),
        NewRecord(long_key, None, 3000),
        NewRecord(b"gone", b"1", 9000),
        NewRecord(b"c", b"", 4000, headers),
        codec=codec,
    )
    topic.put("gone", "2")
    topic.roll()
    topic.clean()
    assert [r.offset for r in topic.records()] == [0, 1, 3, 4]
    topic.check()
    header, _ = next(read_batches(topic.log))
    assert header.attributes == codec | DELETE_HORIZON
    assert (header.max_timestamp, header.last_offset_delta, header.record_count) == (5000, 3, 3)


def test_log_append_time_is_kept() -> None:
    topic = Topic()
    batch = build_batch(
        [NewRecord(b"a", b"1", 1), NewRecord(b"b", None, 2), NewRecord(b"a", b"2", 3)],
        leader_epoch=0,
    )
    set_append_time(memoryview(batch), 0, 777)
    topic.append_batch(batch)
    topic.roll()
    topic.clean()
    header, _ = next(read_batches(topic.log))
    assert header.attributes & LOG_APPEND_TIME
    assert header.max_timestamp == 777
    assert [(r.offset, r.timestamp) for r in topic.records()] == [(1, 777), (2, 777)]


def test_a_small_map_takes_several_passes_and_ends_the_same() -> None:
    small, large = Topic(memory_bytes=200 * 4), Topic()
    for topic in (small, large):
        for n in range(60):
            topic.put(f"key-{n % 11}", f"{n}")
        topic.roll()
    assert large.clean()[-1].end_offset == 60
    passes = 0
    while small.cleaned_to != 60:
        assert small.clean()
        passes += 1
        small.check()
    assert passes > 5
    assert list(small.records()) == list(large.records())


def test_nothing_is_cleaned_that_may_not_be() -> None:
    topic = Topic(replace(COMPACT, min_compaction_lag_ms=1000))
    topic.put("a", "1")
    assert topic.plan() is None, "the active segment"
    topic.roll()
    topic.put("a", "2")
    topic.roll()
    topic.now_ms += 5000
    assert topic.plan() is None, "what is not durable"
    topic.flush()
    assert topic.plan(0) is None, "above the last stable offset"
    plan = topic.plan(1)
    assert plan is not None
    assert [s.base_offset for s in plan.segments] == [0]
    topic.put("b", "1")
    topic.roll()
    topic.flush()
    plan = topic.plan()
    assert plan is not None
    assert [s.base_offset for s in plan.segments] == [0, 1], "younger than the compaction lag"
    topic.log.settings = replace(COMPACT, cleanup_policy=("delete",))
    assert topic.plan() is None, "not a compacted topic"


def test_what_is_wanted_follows_the_ratio_and_the_greatest_lag() -> None:
    topic = Topic(replace(COMPACT, min_cleanable_dirty_ratio=0.6))
    topic.put("a", "1" * 100)
    topic.roll()
    topic.clean()
    topic.put("b", "1" * 100)
    topic.roll()
    topic.flush()
    plan = topic.plan()
    assert plan is not None
    assert 0.4 < plan.dirty_ratio < 0.6
    assert not cleaner_plan.wanted(topic.log, plan)
    topic.log.settings = replace(topic.log.settings, max_compaction_lag_ms=5000)
    topic.now_ms += 5001
    plan = topic.plan()
    assert plan is not None
    assert plan.overdue
    assert cleaner_plan.wanted(topic.log, plan)


def test_a_checkpoint_outside_the_log_begins_anew() -> None:
    topic = Topic()
    topic.put("a", "1")
    topic.roll()
    topic.flush()
    topic.cleaned_to = 99
    plan = topic.plan()
    assert plan is not None
    assert plan.first_dirty_offset == 0


def test_transactions_and_corruption_are_refused_and_nothing_changes() -> None:
    topic = Topic()
    topic.put("a", "1", producer=(9, 0), attributes=TRANSACTIONAL)
    topic.roll()
    with pytest.raises(Uncleanable, match="transactions"):
        topic.clean()
    topic = Topic()
    topic.put("a", "1" * 50)
    topic.roll()
    topic.flush()
    file = topic.disk.open("/data/t-0/00000000000000000000.log")
    data = bytearray(file.pread(1000, 0))
    data[-5] ^= 1
    file.truncate(0)
    file.append(data)
    with pytest.raises(Uncleanable, match="CRC"):
        topic.clean()
    assert topic.disk.read("/data/t-0/00000000000000000000.log") == data


def test_a_swap_into_a_log_that_changed_meanwhile_is_given_up() -> None:
    topic = Topic()
    topic.put("a", "1")
    topic.roll()
    topic.put("a", "2")
    topic.roll()
    topic.flush()
    plan = topic.plan()
    assert plan is not None
    job = cleaner_plan.job(
        topic.log, plan, last_offsets={}, now_ms=topic.now_ms, memory_bytes=10_000
    )
    (cleaned,) = clean(topic.disk, job, lambda count: None)
    topic.log.advance_start_offset(1)
    topic.log.retire_segments(topic.now_ms)
    assert swap_in(topic.log, cleaned.base_offset, cleaned.replaces) is None
    assert topic.values() == ["1:a=2"]
    assert not [name for name in topic.disk.list("/data/t-0") if name.endswith(".cleaned")]


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("append"),
            st.lists(
                st.tuples(st.integers(0, 4), st.sampled_from([None, 3, 40, 200])),
                min_size=1,
                max_size=4,
            ),
            st.sampled_from([0, 0, 3]),
            st.sampled_from([None, 1, 2]),
        ),
        st.tuples(st.just("roll")),
        st.tuples(st.just("clean"), st.sampled_from([10, HOUR])),
        st.tuples(st.just("reopen")),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([200 * 3, 1_000_000]))
def test_the_law_of_compaction(script: list[tuple], memory_bytes: int) -> None:
    """The last value of each key is what it was; below the checkpoint each key stands once."""
    topic = Topic(memory_bytes=memory_bytes)
    sequences = {1: 0, 2: 0}
    for name, *more in script:
        if name == "append":
            items, codec, producer = more
            records = [
                NewRecord(b"k%d" % key, None if size is None else b"v" * size, topic.now_ms + key)
                for key, size in items
            ]
            of = None
            if producer:
                of = (producer, sequences[producer])
                sequences[producer] += len(records)
            topic.append(*records, codec=codec, producer=of)
        elif name == "roll":
            topic.roll()
        elif name == "reopen":
            topic.reopen()
        else:
            topic.now_ms += more[0]
            topic.clean()
        topic.check()
        latest = {r.key: r for _, r in sorted(topic.written.items())}
        found = {r.key: r for r in topic.records()}
        for key, record in latest.items():
            assert found.get(key) == record or (record.value is None and key not in found)
        below = [r.key for r in topic.records() if r.offset < (topic.cleaned_to or 0)]
        assert len(below) == len(set(below)), "a key stands twice in the cleaned part"
