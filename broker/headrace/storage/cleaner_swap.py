"""Putting cleaned segments in the place of those they were made from, safely for any crash.

The order, in one folder, so that a cut at any moment leaves a state that `finish_swaps` knows:
1. `.cleaned` files are durable. Alone they mean nothing and are removed.
2. They are renamed to `.swap`, the log last, and the folder is synced. A `.log.swap` now stands
   for the whole group: the swap will be completed.
3. The replaced files go; then `.swap` becomes the final name, the log last.
So where a `.log.swap` is, every replaced segment may be there or not, and an index is either
still named `.swap` or already in its place. Kafka reads and writes the same names.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from headrace.base.invariant import invariant
from headrace.storage import walk
from headrace.storage.disk import Disk, DiskFault, NoDescriptor
from headrace.storage.names import (
    CLEANED,
    DELETED,
    INDEX,
    LOG,
    SEGMENT_SUFFIXES,
    SWAP,
    TIME_INDEX,
    TXN_INDEX,
    file_name,
    offset_of,
)
from headrace.storage.segment import Segment

if TYPE_CHECKING:
    from headrace.storage.log import Log

_INDEXES: Final = (INDEX, TIME_INDEX, TXN_INDEX)


def swap_in(log: "Log", base_offset: int, replaces: Sequence[int]) -> list[str] | None:
    """Make the `.cleaned` segment of `base_offset` take the place of the segments `replaces`.

    Returns the renamed files (`.deleted`) for the caller to remove later; None, with the cleaned
    files removed, where the log no longer has exactly those segments. Raises DiskFault; and
    NoDescriptor with the log as it was.
    """
    disk, folder = log.disk, log.path
    first = next(
        (n for n, segment in enumerate(log.segments) if segment.base_offset == base_offset), -1
    )
    old = log.segments[first : first + len(replaces)]
    if (
        first < 0
        or [segment.base_offset for segment in old] != list(replaces)
        or old[-1].active
        or old[-1].end_offset > log.recovery_point
    ):
        discard_cleaned(disk, folder)
        return None
    _rename(disk, folder, base_offset, CLEANED, SWAP)
    disk.sync_dir(folder)
    deleted = []
    for segment in old:
        log.open_segments.forget(segment)
        segment.let_go()
        for path in segment.paths():
            if disk.exists(path):
                disk.rename(path, path + DELETED)
                deleted.append(path + DELETED)
    _rename(disk, folder, base_offset, SWAP, "")
    try:
        disk.sync_dir(folder)
    except NoDescriptor as fault:  # The folder is ahead of us: only a start sets that right.
        raise DiskFault(str(fault)) from fault
    new = Segment(
        disk, folder, base_offset, disk.stat(f"{folder}/{file_name(base_offset, LOG)}").size
    )
    log.segments[first : first + len(replaces)] = [new]
    invariant(log.segments[-1] is log.active, "the active segment stays")
    log.relink()
    return deleted


def finish_swaps(disk: Disk, folder: str, found: Sequence[str]) -> bool:
    """Before a folder with the names `found` is opened: complete interrupted swaps, drop the rest.

    Returns whether anything was done, so that the folder must be listed again.
    """
    if not any(name.endswith((CLEANED, SWAP)) for name in found):
        return False
    swapping = [base for name in found if (base := offset_of(name, LOG + SWAP)) is not None]
    for base_offset in swapping:
        end_offset = _end_of(disk, f"{folder}/{file_name(base_offset, LOG + SWAP)}", base_offset)
        for name in found:
            for suffix in SEGMENT_SUFFIXES:
                offset = offset_of(name, suffix)
                if offset is not None and base_offset < offset < end_offset:
                    disk.remove(f"{folder}/{name}")
        if disk.exists(f"{folder}/{file_name(base_offset, INDEX + SWAP)}"):
            # No final name was given yet, so what has the final names is the replaced segment.
            for suffix in SEGMENT_SUFFIXES:
                disk.remove(f"{folder}/{file_name(base_offset, suffix)}")
        _rename(disk, folder, base_offset, SWAP, "")
    for name in disk.list(folder):
        if name.endswith((CLEANED, SWAP)):
            disk.remove(f"{folder}/{name}")
    disk.sync_dir(folder)
    return True


def discard_cleaned(disk: Disk, folder: str) -> None:
    """Remove what a pass left that will not be swapped in."""
    for name in disk.list(folder):
        if name.endswith(CLEANED):
            disk.remove(f"{folder}/{name}")


def _rename(disk: Disk, folder: str, base_offset: int, old: str, new: str) -> None:
    """Rename the files of one segment that are there, the log last."""
    for suffix in (*_INDEXES, LOG):
        path = f"{folder}/{file_name(base_offset, suffix)}"
        if disk.exists(path + old):
            disk.rename(path + old, path + new)


def _end_of(disk: Disk, path: str, base_offset: int) -> int:
    """The offset after the last of a log file that was made durable before it got its name."""
    file = disk.open(path)
    end_offset = base_offset
    for _, header in walk.headers(file, 0, file.size):
        end_offset = header.next_offset
    file.close()
    return end_offset
