"""Logs for tests: small batches, a ledger that only writes down, and a dumb reader."""

from collections.abc import Sequence

from headrace.config.topic import LogSettings
from headrace.storage.disk import Disk
from headrace.storage.log import Log
from headrace.wire.batch import HEADER_BYTES, BatchHeader, read_batch_header, stamp
from headrace.wire.producer_snapshot import ProducerEntry
from headrace.wire.records import NewRecord, build_batch

NOW_MS = 1_700_000_000_000
PRODUCER = 7


class Diary:
    """A ledger: the next offset of its one producer's last batch, and all that it was told."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.last_offset = -1

    def observe(self, header: BatchHeader) -> None:
        assert header.base_offset > self.last_offset, "observed twice or out of order"
        self.seen.append(header.base_offset)
        self.last_offset = header.last_offset

    def entries(self) -> list[ProducerEntry]:
        if self.last_offset < 0:
            return []
        return [
            ProducerEntry(
                producer_id=PRODUCER,
                producer_epoch=0,
                last_sequence=0,
                last_offset=self.last_offset,
                offset_delta=0,
                timestamp=0,
            )
        ]

    def restore(self, entries: Sequence[ProducerEntry]) -> None:
        self.seen = []
        self.last_offset = entries[0].last_offset if entries else -1


def open_log(
    disk: Disk,
    path: str,
    *,
    ledger: Diary | None = None,
    clean: bool = False,
    recovery_point: int = 0,
    log_start_offset: int = 0,
    **settings: object,
) -> Log:
    """A log with these settings and otherwise the defaults."""
    return Log.open(
        disk,
        path,
        LogSettings(**settings),
        ledger or Diary(),
        clean=clean,
        recovery_point=recovery_point,
        log_start_offset=log_start_offset,
        now_ms=NOW_MS,
    )


def append(
    log: Log,
    *,
    records: int = 1,
    size: int = 20,
    timestamp: int = NOW_MS,
    epoch: int = 0,
    gap: int = 0,
    producer_id: int = PRODUCER,
    codec: int = 0,
    now_ms: int = NOW_MS,
) -> bytes:
    """Append a batch of `records`, a millisecond apart, and return its bytes.

    `gap` leaves out offsets before it, as compaction does.
    """
    batch = build_batch(
        [NewRecord(b"k", b"v" * size, timestamp + at) for at in range(records)],
        producer_id=producer_id,
        producer_epoch=0 if producer_id >= 0 else -1,
        base_sequence=0 if producer_id >= 0 else -1,
        codec=codec,
    )
    stamp(batch, 0, log.log_end_offset + gap, epoch)
    header = read_batch_header(batch, 0)
    log.append(
        batch,
        last_offset=header.last_offset,
        max_timestamp=header.max_timestamp,
        leader_epoch=epoch,
        now_ms=now_ms,
    )
    if producer_id >= 0 and isinstance(log.ledger, Diary):
        log.ledger.observe(header)
    return bytes(batch)


def split(data: bytes) -> list[bytes]:
    """The whole batches that `data` consists of."""
    batches = []
    while data:
        assert len(data) >= HEADER_BYTES, "a slice ends inside a batch"
        size = read_batch_header(data, 0).size_bytes
        assert len(data) >= size, "a slice ends inside a batch"
        batches.append(data[:size])
        data = data[size:]
    return batches


def read_all(log: Log, offset: int | None = None, max_bytes: int = 1000) -> list[bytes]:
    """Every batch from `offset` (default: the start) to the end, as a consumer fetches them."""
    position = log.log_start_offset if offset is None else offset
    batches: list[bytes] = []
    while True:
        piece = log.locate(position, max_bytes, max_offset=log.log_end_offset)
        if not piece.count:
            return batches
        found = split(bytes(piece.file.pread(piece.count, piece.position)))
        batches += found
        position = read_batch_header(found[-1], 0).next_offset


def flush(log: Log, *, checkpoint: bool = True) -> None:
    """Begin, run and finish a flush."""
    begun = log.begin_flush(checkpoint=checkpoint)
    begun.run()
    log.flushed(begun)
