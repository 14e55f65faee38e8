from dataclasses import replace

import pytest
from crc32c import crc32c
from headrace.base.errors import Code, Refusal
from headrace.config.topic import LogSettings
from headrace.wire import batch as wire
from headrace.wire.batch import check_batch, read_batch_header, set_append_time, set_crc, stamp
from headrace.wire.records import NewRecord, build_batch, walk

NOW_MS = 1_700_000_000_000
SETTINGS = LogSettings()
RECORDS = [NewRecord(b"k", b"v" * 10, NOW_MS + i) for i in range(3)]


def changed(**fields: int) -> bytearray:
    """A good batch with other header fields and a CRC that matches them."""
    made = build_batch(RECORDS)
    header = read_batch_header(made, 0)._replace(**fields)
    wire.HEADER.pack_into(made, 0, *header)
    if "crc" not in fields:
        set_crc(memoryview(made), 0, len(made))
    return made


def check(made: bytearray, settings: LogSettings = SETTINGS, now_ms: int = NOW_MS):
    """With bytes around it, as in a frame."""
    frame = memoryview(b"before" + made + b"after")
    return check_batch(frame, 6, 6 + len(made), settings, now_ms)


def test_a_good_batch_gives_its_header() -> None:
    made = build_batch(RECORDS, producer_id=5, producer_epoch=1, base_sequence=9)
    header = check(made)
    assert header == read_batch_header(made, 0)
    assert (header.record_count, header.base_sequence, header.size_bytes) == (3, 9, len(made))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"magic": 1}, Code.INVALID_RECORD),
        ({"base_offset": 1}, Code.INVALID_RECORD),
        ({"length": 48}, Code.CORRUPT_MESSAGE),
        ({"length": -1}, Code.CORRUPT_MESSAGE),
        ({"length": 500}, Code.INVALID_RECORD),
        ({"crc": 1}, Code.CORRUPT_MESSAGE),
        ({"record_count": 0}, Code.INVALID_RECORD),
        ({"record_count": -1, "last_offset_delta": -2}, Code.INVALID_RECORD),
        ({"record_count": 4}, Code.INVALID_RECORD),
        ({"last_offset_delta": 7}, Code.INVALID_RECORD),
        ({"record_count": 1000, "last_offset_delta": 999}, Code.INVALID_RECORD),
        ({"attributes": 5}, Code.UNSUPPORTED_COMPRESSION_TYPE),
        ({"attributes": wire.CONTROL}, Code.INVALID_RECORD),
        ({"attributes": wire.CONTROL | wire.TRANSACTIONAL}, Code.INVALID_RECORD),
        ({"attributes": wire.TRANSACTIONAL}, Code.INVALID_TXN_STATE),
        ({"attributes": wire.LOG_APPEND_TIME}, Code.INVALID_TIMESTAMP),
        ({"attributes": wire.DELETE_HORIZON}, Code.INVALID_RECORD),
        ({"producer_id": 5, "base_sequence": -1}, Code.INVALID_RECORD),
        ({"max_timestamp": NOW_MS + 3_600_001}, Code.INVALID_TIMESTAMP),
    ],
)
def test_refusals(fields: dict[str, int], code: Code) -> None:
    refusal = check(changed(**fields))
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert refusal.message


@pytest.mark.parametrize("count", range(0, 60, 7))
def test_less_than_a_header_is_refused(count: int) -> None:
    assert check(build_batch(RECORDS)[:count]).code == Code.INVALID_RECORD


def test_two_batches_are_refused() -> None:
    assert check(build_batch(RECORDS) + build_batch(RECORDS)).code == Code.INVALID_RECORD


def test_the_size_limit_counts_the_whole_batch() -> None:
    made = build_batch(RECORDS)
    fits = replace(SETTINGS, max_message_bytes=len(made))
    assert not isinstance(check(made, fits), Refusal)
    tight = replace(SETTINGS, max_message_bytes=len(made) - 1)
    assert check(made, tight).code == Code.MESSAGE_TOO_LARGE


def test_timestamp_bounds() -> None:
    old = replace(SETTINGS, message_timestamp_before_max_ms=1000)
    assert not isinstance(check(build_batch(RECORDS), old, NOW_MS + 1000), Refusal)
    assert check(build_batch(RECORDS), old, NOW_MS + 1001).code == Code.INVALID_TIMESTAMP
    untimed = changed(base_timestamp=wire.NO_TIMESTAMP, max_timestamp=wire.NO_TIMESTAMP)
    assert not isinstance(check(untimed, old), Refusal)
    broker_time = replace(old, message_timestamp_type="LogAppendTime")
    assert not isinstance(check(build_batch(RECORDS), broker_time, NOW_MS + 10**9), Refusal)


def test_a_stamp_leaves_the_crc_true() -> None:
    made = bytearray(b"xx") + build_batch(RECORDS)
    stamp(made, 2, 2**40, 12)
    header = read_batch_header(made, 2)
    assert (header.base_offset, header.leader_epoch, header.next_offset) == (2**40, 12, 2**40 + 3)
    assert header.crc == crc32c(bytes(made[2 + wire.CRC_FROM :]))


def test_log_append_time() -> None:
    made = bytearray(b"xx") + build_batch(RECORDS) + b"yy"
    set_append_time(memoryview(made), 2, NOW_MS + 77)
    batch = made[2:-2]
    header = read_batch_header(batch, 0)
    assert header.attributes == wire.LOG_APPEND_TIME and header.max_timestamp == NOW_MS + 77
    assert header.crc == crc32c(bytes(batch[wire.CRC_FROM :]))
    assert {record.timestamp for record in walk(batch)} == {NOW_MS + 77}
