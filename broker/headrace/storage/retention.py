"""Dropping old segments: by age, by size, and below the log start.

Source: Kafka's UnifiedLog.deleteOldSegments; only whole segments below the high watermark go,
oldest first, and the scan stops at the first that stays.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from headrace.storage import opening
from headrace.storage.disk import Damaged, NoDescriptor
from headrace.storage.names import DELETED
from headrace.storage.segment import Segment

if TYPE_CHECKING:
    from headrace.storage.log import Log


def retire_segments(log: "Log", now_ms: int, high_watermark: int) -> list[str]:
    """Rename the files of what retention does not keep; returns their new paths."""
    count = _below_log_start(log, high_watermark)
    if "delete" in log.settings.cleanup_policy:
        count = max(count, _too_old(log, now_ms, high_watermark), _too_much(log, high_watermark))
    if not count:
        return []
    if count == len(log.segments):
        log.roll(now_ms)
    renamed: list[str] = []
    for number, segment in enumerate(log.segments[:count]):
        if renamed:  # in order even after a power cut: a start must not find a hole
            try:
                log.disk.sync_dir(log.path)
            except NoDescriptor:
                count = number  # The others go the next time.
                break
        renamed += _rename(log, segment)
    del log.segments[:count]
    log.relink()
    first = log.segments[0].base_offset
    log.snapshots.remove_below(first)
    if first > log.log_start_offset:
        log.log_start_offset = first
        log.epochs.truncate_from_start(first)
    log.names_new = True
    return renamed


def _count(log: "Log", high_watermark: int, expired: Callable[[Segment], bool]) -> int:
    """How many segments from the oldest on are expired, whole below the high watermark."""
    for number, segment in enumerate(log.segments):
        end = log.log_end_offset if segment.active else segment.end_offset
        if end > high_watermark or (segment.active and not segment.size) or not expired(segment):
            return number
    return len(log.segments)


def _below_log_start(log: "Log", high_watermark: int) -> int:
    start = log.log_start_offset
    return _count(log, high_watermark, lambda s: not s.active and s.end_offset <= start)


def _too_old(log: "Log", now_ms: int, high_watermark: int) -> int:
    retention_ms = log.settings.retention_ms
    if retention_ms < 0:
        return 0

    def expired(segment: Segment) -> bool:
        newest = -1
        with suppress(Damaged):
            if not segment.loaded:
                opening.load_rolled(log, segment)
                segment.let_go()
            newest = segment.max_timestamp
        if newest < 0:  # no timestamp, or none to be read: the file's own time stands in
            newest = log.disk.stat(segment.path).modified_ms
        return now_ms - newest > retention_ms

    return _count(log, high_watermark, expired)


def _too_much(log: "Log", high_watermark: int) -> int:
    excess = log.size_bytes - log.settings.retention_bytes
    if log.settings.retention_bytes < 0 or excess < 0:
        return 0

    def expired(segment: Segment) -> bool:
        nonlocal excess
        excess -= segment.size
        return excess >= 0

    return _count(log, high_watermark, expired)


def _rename(log: "Log", segment: Segment) -> list[str]:
    segment.let_go()
    log.open_segments.forget(segment)
    renamed = []
    for path in segment.paths():
        if log.disk.exists(path):
            log.disk.rename(path, path + DELETED)
            renamed.append(path + DELETED)
    return renamed
