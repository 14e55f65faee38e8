"""What must hold of a log that is opened after a crash, given what was promised before it."""

import random
from dataclasses import replace

from headrace.core.producers import Producers
from headrace.sim.reading import index_faults, read_batches, read_records
from headrace.sim.storage_opened import Opened
from headrace.sim.storage_world import Promises
from headrace.storage.log import Log
from headrace.wire.batch import BatchHeader
from headrace.wire.records import walk


class Violation(Exception):
    """A promise that was not kept; the message says which."""


def require(condition: object, why: str) -> None:
    """Raise Violation unless the condition holds."""
    if not condition:
        raise Violation(why)


def check_opened(
    opened: Opened, promises: Promises, *, least_end: int, compacted: bool, rng: random.Random
) -> None:
    """Everything at once; raises Violation."""
    log = opened.log
    known = [header.next_offset for header in promises.headers]
    require(
        log.log_end_offset >= least_end,
        f"the log ends at {log.log_end_offset}, but everything below {least_end} was durable",
    )
    # A log whose end was lost below an acknowledged deletion begins anew at that offset.
    ends = (0, *known, log.log_start_offset)
    require(log.log_end_offset in ends, f"the end {log.log_end_offset} is inside a batch")
    require(
        promises.deleted_before <= max(log.log_start_offset, 0),
        f"the log starts at {log.log_start_offset}: deleted before {promises.deleted_before}",
    )
    require(
        log.log_start_offset <= promises.start_most,
        f"the log starts at {log.log_start_offset}, which nobody asked for",
    )
    headers = [h for h in promises.headers if h.next_offset <= log.log_end_offset]
    if compacted:
        _check_compacted(log, promises, headers)
    else:
        _check_bytes(log, promises, headers)
        _check_look_ups(log, headers, rng)
    for fault in index_faults(log):
        raise Violation(f"an index does not agree with its log: {fault}")
    _check_producers(opened, headers, compacted=compacted)


def _check_bytes(log: Log, promises: Promises, headers: list[BatchHeader]) -> None:
    """The log is a run of the appended batches, byte for byte, without a gap."""
    expected = [
        batch
        for header, batch in zip(headers, promises.batches, strict=False)
        if header.last_offset >= log.log_start_offset
    ]
    found = [batch for _, batch in read_batches(log)]
    require(found == expected, f"{len(found)} batches are not the {len(expected)} appended")
    for header in headers:
        if header.base_offset >= log.log_start_offset:
            epoch = log.epochs.epoch_at(header.base_offset)
            require(
                epoch == header.leader_epoch,
                f"offset {header.base_offset} was written in epoch {header.leader_epoch}, "
                f"the epoch cache says {epoch}",
            )


def _check_compacted(log: Log, promises: Promises, headers: list[BatchHeader]) -> None:
    """Each record is as it was written, and the last one of every key is there."""
    written = {}
    for _header, batch in zip(headers, promises.batches, strict=False):
        for record in walk(batch):
            written[record.offset] = record
    found = list(read_records(log))
    offsets = [record.offset for record in found]
    require(offsets == sorted(set(offsets)), "records are out of order")
    for record in found:
        require(written.get(record.offset) == record, f"offset {record.offset} was changed")
    last = {record.key: offset for offset, record in written.items()}
    lost = sorted(set(last.values()) - set(offsets))
    require(not lost, f"the last record of a key is gone: offsets {lost}")


def _check_look_ups(log: Log, headers: list[BatchHeader], rng: random.Random) -> None:
    """`locate` finds the batch that holds an offset, and timestamps the first record."""
    headers = [h for h in headers if h.base_offset >= log.log_start_offset]
    for header in rng.sample(headers, min(3, len(headers))):
        offset = rng.randint(header.base_offset, header.last_offset)
        found = log.locate(offset, 1, max_offset=log.log_end_offset)
        base = int.from_bytes(found.file.pread(8, found.position), "big")
        require(base == header.base_offset, f"offset {offset} is looked up in batch {base}")
        record = log.offset_for_timestamp(header.max_timestamp)
        require(
            record is not None and record.timestamp >= header.max_timestamp
            and record.offset <= header.last_offset,
            f"timestamp {header.max_timestamp} is looked up as {record}",
        )  # fmt: skip


def _check_producers(opened: Opened, headers: list[BatchHeader], *, compacted: bool) -> None:
    """The producers are what a replay of every batch makes of them.

    A producer whose batches are all deleted may be forgotten, and a compacted batch may have
    lost the record with its greatest timestamp.
    """
    log = opened.log
    if log.segments[0].base_offset == log.log_end_offset:
        return  # begun anew at an acknowledged deletion: a cut took what was not yet durable
    replayed = Producers()
    for header in headers:
        replayed.observe(header)
    expected = {entry.producer_id: entry for entry in replayed.entries()}
    found = {entry.producer_id: entry for entry in opened.producers.entries()}
    for producer_id, entry in expected.items():
        if compacted and producer_id in found:
            entry = replace(entry, timestamp=found[producer_id].timestamp)
        if entry.last_offset >= log.segments[0].base_offset or producer_id in found:
            require(
                found.get(producer_id) == entry,
                f"producer {producer_id} is {found.get(producer_id)}, by the log {entry}",
            )
    require(found.keys() <= expected.keys(), "a producer that never wrote")
