"""What of a log may be compacted now, and how much that is wanted.

Never the active segment, nor one that is not wholly below the last stable offset, durable, and
older than min.compaction.lag.ms. Source: Kafka's LogCleanerManager.cleanableOffsets.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.base.units import INT64_MAX
from headrace.storage import opening, walk
from headrace.storage.cleaner import CleanJob, SegmentRange
from headrace.storage.cleaner_batch import BYTES_PER_KEY, Horizons
from headrace.storage.log import Log
from headrace.storage.segment import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`dirty_ratio` is the share of bytes not compacted yet; `overdue` says that
    max.compaction.lag.ms has passed for some of them."""

    segments: tuple[SegmentRange, ...]
    first_dirty_offset: int
    dirty_bytes: int
    dirty_ratio: float
    overdue: bool


def plan(log: Log, checkpoint: int | None, *, last_stable_offset: int, now_ms: int) -> Plan | None:
    """What a pass would do; None where there is nothing, or the topic is not compacted.

    `checkpoint` is where the last pass ended. Reads indexes of rolled segments. Raises Damaged,
    DiskFault.
    """
    settings = log.settings
    if "compact" not in settings.cleanup_policy:
        return None
    first_dirty = log.log_start_offset
    if checkpoint is not None and first_dirty <= checkpoint <= log.log_end_offset:
        first_dirty = checkpoint
    upto = min(last_stable_offset, log.recovery_point)
    segments: list[Segment] = []
    for segment in log.segments[:-1]:
        if segment.end_offset > upto:
            break
        if segment.end_offset > first_dirty and settings.min_compaction_lag_ms > 0:
            opening.load_rolled(log, segment)
            if segment.max_timestamp > now_ms - settings.min_compaction_lag_ms:
                break
        segments.append(segment)
    dirty = [segment for segment in segments if segment.end_offset > first_dirty]
    dirty_bytes = sum(segment.size for segment in dirty)
    if not dirty_bytes:
        return None
    oldest_ms = now_ms - settings.max_compaction_lag_ms
    return Plan(
        segments=tuple(SegmentRange(s.base_offset, s.end_offset, s.size) for s in segments),
        first_dirty_offset=first_dirty,
        dirty_bytes=dirty_bytes,
        dirty_ratio=dirty_bytes / sum(segment.size for segment in segments),
        overdue=settings.max_compaction_lag_ms < INT64_MAX
        and any(0 < _first_timestamp(segment) < oldest_ms for segment in dirty),
    )


def wanted(log: Log, plan: Plan) -> bool:
    """Whether a log with this plan is to be compacted now."""
    return plan.overdue or plan.dirty_ratio > log.settings.min_cleanable_dirty_ratio


def job(
    log: Log, plan: Plan, *, last_offsets: Mapping[int, int], now_ms: int, memory_bytes: int
) -> CleanJob:
    """The pass as the child process gets it; `memory_bytes` is log.cleaner.dedupe.buffer.size."""
    settings = log.settings
    return CleanJob(
        folder=log.path,
        segments=plan.segments,
        first_dirty_offset=plan.first_dirty_offset,
        last_offsets=last_offsets,
        horizons=Horizons(now_ms=now_ms, delete_retention_ms=settings.delete_retention_ms),
        segment_bytes=settings.segment_bytes,
        segment_index_bytes=settings.segment_index_bytes,
        index_interval_bytes=settings.index_interval_bytes,
        keys_max=max(1, memory_bytes // BYTES_PER_KEY),
    )


def _first_timestamp(segment: Segment) -> int:
    for _, header in walk.headers(segment.file(), 0, segment.size):
        return header.max_timestamp
    return -1
