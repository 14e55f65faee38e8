"""Cutting a log at its end: a follower that diverged, or one that starts over."""

from typing import TYPE_CHECKING

from headrace.base.invariant import invariant
from headrace.storage import opening
from headrace.storage.segment import Segment

if TYPE_CHECKING:
    from headrace.storage.log import Log


def truncate_to(log: "Log", offset: int) -> None:
    """Cut off every batch that ends at or after `offset`.

    Segments go newest first: a crash in between leaves a longer log, never one with a hole.
    """
    if offset >= log.log_end_offset:
        return
    if offset < log.segments[0].base_offset:
        restart_at(log, offset)
        return
    created_ms = log.active.created_ms
    number = log.segment_of(offset)
    while len(log.segments) > number + 1:
        log.drop(log.segments.pop())
    segment = log.segments[number]
    opening.load_rolled(log, segment)
    position, base = segment.find(offset)
    end = base if 0 <= base < offset else offset
    segment.index.cut(segment.index.floor_position(position - 1) + 1)
    segment.time_index.cut_above(end - 1 - segment.base_offset)
    segment.take_max_timestamp()
    segment.file().truncate(position)
    settled = opening.settle(segment, log.settings.index_interval_bytes)
    invariant(settled is not None and settled <= end, "a truncated segment ends where it was cut",
              path=segment.path, settled=settled, end=end)  # fmt: skip
    log.truncated(end)
    log.epochs.truncate_from_end(end)
    log.snapshots.remove_from(end + 1)
    log.log_start_offset = min(log.log_start_offset, end)
    log.open_segments.forget(segment)
    segment.end_offset = -1
    log.take_active(segment, created_ms)
    opening.reload_ledger(log, end)


def restart_at(log: "Log", offset: int) -> None:
    """Drop everything and begin empty at `offset`."""
    created_ms = log.active.created_ms
    while log.segments:
        log.drop(log.segments.pop())
    segment = Segment(log.disk, log.path, offset, 0)
    segment.create()
    log.segments.append(segment)
    log.epochs.clear()
    log.snapshots.remove_from(0)
    log.ledger.restore([])
    log.truncated(offset)
    log.log_start_offset = log.recovery_point = log.durable_offset = offset
    log.take_active(segment, created_ms)
