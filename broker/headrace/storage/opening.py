"""Opening a partition's folder: what is there, what a crash left, where the log ends.

A clean log costs a directory listing and a few small reads, whatever its size. After a crash
everything below the recovery point is trusted but for a look at the index files, and everything
above is read, checked and indexed anew.
"""

from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from headrace.storage import names, walk
from headrace.storage.cleaner_swap import finish_swaps
from headrace.storage.disk import Damaged, Disk, DiskFault, DiskFull
from headrace.storage.epochs import CorruptEpochs, EpochCache, decode_epochs
from headrace.storage.recovery import Recovered, Scan, scan
from headrace.storage.segment import Segment

if TYPE_CHECKING:
    from headrace.storage.log import Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What was found: segments in order, snapshot offsets, epochs (None: to be read from the
    batches)."""

    segments: list[Segment]
    snapshots: list[int]
    epochs: EpochCache | None


def read_folder(disk: Disk, path: str, log_start_offset: int) -> Folder:
    """Look at the folder, made if it is absent, and remove what a crash or deletion left over."""
    try:
        listed = disk.list(path)
    except FileNotFoundError:
        disk.make_dir(path)
        listed = []
    if finish_swaps(disk, path, listed):
        listed = disk.list(path)
    present = set(listed)
    bases, snapshots = [], []
    for name in listed:
        if name.endswith((names.DELETED, ".tmp")):
            disk.remove(f"{path}/{name}")
        elif (base := names.offset_of(name, names.LOG)) is not None:
            bases.append(base)
        elif (offset := names.offset_of(name, names.SNAPSHOT)) is not None:
            snapshots.append(offset)
        elif name[20:] in names.SEGMENT_SUFFIXES and name[:20] + names.LOG not in present:
            disk.remove(f"{path}/{name}")
    segments = [
        Segment(disk, path, base, disk.stat(f"{path}/{names.file_name(base, names.LOG)}").size)
        for base in sorted(bases)
    ]
    if not segments:
        segments = [Segment(disk, path, log_start_offset, 0)]
        segments[0].create()
        return Folder(segments=segments, snapshots=snapshots, epochs=EpochCache())
    return Folder(segments=segments, snapshots=snapshots, epochs=_read_epochs(disk, path, present))


def _read_epochs(disk: Disk, path: str, present: set[str]) -> EpochCache | None:
    if names.LEADER_EPOCHS not in present:
        return None
    try:
        return decode_epochs(disk.read(f"{path}/{names.LEADER_EPOCHS}"))
    except CorruptEpochs:
        return None


def complete(
    log: "Log",
    found: Folder,
    clean: bool,
    recovery_point: int,
    log_start_offset: int,
    now_ms: int,
) -> None:
    """Bring a log whose folder was read to where the last process left it."""
    for before, after in pairwise(log.segments):
        before.end_offset = after.base_offset
    last = log.segments[-1]
    end = settle(last, log.settings.index_interval_bytes) if clean else None
    if end is not None:
        if found.epochs is None:
            _epochs_from_batches(log, end)
            log.epochs.dirty = True
        log.log_end_offset = log.recovery_point = log.durable_offset = end
        log.names_new = log.folder_new = False
        reload_ledger(log, end)
        log.snapshots.remove_from(end + 1)
        log.snapshots.keep([segment.base_offset for segment in log.segments], newest=1)
    else:
        _recover(log, last.base_offset if clean else recovery_point, found.epochs is None)
    log.epochs.truncate_from_end(log.log_end_offset)
    log.take_active(log.segments[-1], now_ms)
    log.log_start_offset = max(log_start_offset, log.segments[0].base_offset)
    if log.log_start_offset > log.log_end_offset:
        log.restart_at(log.log_start_offset)
    log.epochs.truncate_from_start(log.log_start_offset)
    log.active.let_go()


def settle(segment: Segment, interval_bytes: int) -> int | None:
    """Ready the last segment for appends: trust its indexes and walk on from their last entry.

    Returns the offset after its last batch; None where something does not fit, which a clean
    shutdown cannot leave.
    """
    if not segment.size:
        segment.file()
        return segment.base_offset if _reset(segment) else None
    if not segment.load():
        return None
    number = segment.index.entries - 1
    position = segment.index.entry(number)[1] if number >= 0 else 0
    end = segment.base_offset
    try:
        _, first = next(walk.headers(segment.file(), 0, segment.size))
        segment.first_timestamp = first.max_timestamp
        for at, header in walk.headers(segment.file(), position, segment.size):
            if header.base_offset < end or at + header.size_bytes > segment.size:
                return None
            if header.max_timestamp > segment.max_timestamp and header.record_count:
                segment.max_timestamp = header.max_timestamp
                segment.max_timestamp_offset = header.last_offset
            end = header.next_offset
    except DiskFault:
        return None
    if segment.time_index.entries and segment.max_timestamp_offset >= end:
        return None
    segment.next_index_at = position + interval_bytes
    return end


def _reset(segment: Segment) -> bool:
    """Empty the indexes, for the segment to be read from its beginning."""
    segment.index.load()
    segment.index.cut(0)
    segment.time_index.load()
    segment.time_index.cut_above(-1)
    segment.max_timestamp = segment.first_timestamp = segment.next_index_at = -1
    segment.loaded = True
    return True


def load_rolled(log: "Log", segment: Segment) -> None:
    """Have a rolled segment's indexes at hand, built from its batches if need be."""
    if segment.loaded or segment.load():
        return
    _reset(segment)
    start = Scan(0, segment.base_offset)
    interval = log.settings.index_interval_bytes
    done = scan(segment, start, interval_bytes=interval, epochs=None, ledger=None)
    if done.why:
        segment.loaded = False
        raise Damaged(
            f"{segment.path} is damaged at byte {done.position}: {done.why}; "
            "restore it from another copy or delete the records up to its end"
        )
    segment.add_time_entry()
    segment.index.spill_if_room()
    segment.time_index.spill_if_room()


def _recover(log: "Log", recovery_point: int, epochs_lost: bool) -> None:
    """Read, check and index everything from the recovery point on; cut at the first bad batch."""
    segments, interval = log.segments, log.settings.index_interval_bytes
    # Of a segment that was rolled at the recovery point, the end of the indexes is not durable.
    number = log.segment_of(recovery_point - 1)
    start = _trusted(segments[number], recovery_point, interval)
    if epochs_lost:
        _epochs_from_batches(log, start.next_offset)
    log.snapshots.remove_from(recovery_point + 1)
    replay_from = _replay(log, recovery_point, start.next_offset)
    scanned = cut = 0
    why = ""
    expected = start.next_offset
    first = number
    while number < len(segments):
        segment = segments[number]
        if number > first:
            compacted = "compact" in log.settings.cleanup_policy and recovery_point == 0
            if segment.base_offset > expected and not compacted:
                # The end of the segment before was not written in time: no hole is kept. The
                # cleaner leaves none above the recovery point; without one, nobody knows.
                why = f"{segment.path} begins there, and {expected} is due"
                break
            _finish(log, segments[number - 1])
            _reset(segment)
            start = Scan(0, max(expected, segment.base_offset))
        done = scan(segment, start, interval_bytes=interval, epochs=log.epochs,
                    ledger=log.ledger, observe_from=replay_from)  # fmt: skip
        scanned += segment.size - start.position
        expected = done.next_offset
        number += 1
        if done.why:
            why = f"{segment.path} at byte {done.position}: {done.why}"
            cut = segment.size - done.position
            segment.file().truncate(done.position)
            break
    for segment in reversed(segments[number:]):
        cut += segment.size
        segments.pop()
        log.drop(segment)
    last = segments[-1]
    if last.index.held:  # built anew from the start: without that nothing below is written
        last.index.held = False
        if recovery_point > last.base_offset:
            _sync_indexes(last)
    log.log_end_offset = expected
    log.recovery_point = log.durable_offset = min(recovery_point, expected)
    log.snapshots.remove_from(expected + 1)
    if replay_from > expected:  # the damage is below the recovery point
        reload_ledger(log, expected)
    log.recovered = Recovered(scanned_bytes=scanned, cut_bytes=cut, cut_because=why)


def _finish(log: "Log", segment: Segment) -> None:
    """Make a recovered, rolled segment durable and let go of its files."""
    segment.file().sync()
    if not _sync_indexes(segment):
        log.unsynced([segment])  # its last index entries wait for room in memory
        return
    segment.let_go()


def _sync_indexes(segment: Segment) -> bool:
    """The scan rewrote index entries below the recovery point, which others take for durable.

    The time index goes first: an offset index with entries says that it is complete as well.
    False where the disk is full.
    """
    segment.add_time_entry()
    try:
        segment.time_index.spill().sync()
        segment.index.spill().sync()
    except DiskFull:
        return False
    segment.index.held = False
    return True


def _begin_indexes_anew(segment: Segment) -> None:
    """Empty both indexes so that no crash leaves an offset index without its time index."""
    if segment.index.load() >= 0:
        segment.index.cut(0)
        segment.index.file().sync()
    segment.index.held = True
    _reset(segment)


def _trusted(segment: Segment, recovery_point: int, interval_bytes: int) -> Scan:
    """Keep of the indexes what is below the recovery point and right; the scan begins there."""
    index, time_index, file = segment.index, segment.time_index, segment.file()
    relative = recovery_point - 1 - segment.base_offset
    if index.load() >= 0 and time_index.load() >= 0:
        number = index.floor_offset(relative)
        if number >= 0 and index.ordered(number + 1) and _first_timestamp(segment):
            offset, position = index.entry(number)
            head = file.pread(walk.STEP.size, position)
            time_index.trust(relative)
            if len(head) == walk.STEP.size and (time_index.entries or segment.first_timestamp < 0):
                base, _, delta = walk.STEP.unpack(head)
                if base + delta == segment.base_offset + offset:
                    index.cut(number + 1)
                    segment.take_max_timestamp()
                    segment.next_index_at = position + interval_bytes
                    segment.loaded = True
                    return Scan(position, base)
    _begin_indexes_anew(segment)
    return Scan(0, segment.base_offset)


def _first_timestamp(segment: Segment) -> bool:
    try:
        _, first = next(walk.headers(segment.file(), 0, segment.size))
    except DiskFault:
        return False
    segment.first_timestamp = first.max_timestamp
    return True


def _epochs_from_batches(log: "Log", end: int) -> None:
    """The checkpoint is lost: learn the epochs from every header below `end`."""
    for segment in log.segments:
        if segment.base_offset >= end:
            return
        # Damage below the recovery point is told to who reads there: the log opens without.
        with suppress(Damaged):
            for _, header in walk.headers(segment.file(), 0, segment.size):
                log.epochs.assign_at(header.leader_epoch, header.base_offset)
                if header.next_offset >= end:
                    return  # what follows has not been checked yet
        segment.let_go()


def reload_ledger(log: "Log", end: int) -> None:
    """Make the ledger what the batches below `end` say."""
    _replay(log, end, end)


def _replay(log: "Log", snapshot_at_most: int, end: int) -> int:
    """Fill the ledger from a snapshot and the batches from there to `end`.

    Returns the offset that it has not seen: `end`, or the snapshot's where that is above.
    """
    ledger = log.ledger
    offset = log.snapshots.restore(ledger, snapshot_at_most)
    if offset is not None and offset < log.segments[0].base_offset:
        # The batches that follow the snapshot are deleted: what it says may be out of date.
        ledger.restore([])
        offset = None
    start = log.segments[0].base_offset if offset is None else offset
    if start >= end:
        return start
    for number in range(log.segment_of(start), len(log.segments)):
        segment = log.segments[number]
        if segment.base_offset >= end:
            break
        with suppress(Damaged):  # as for the epochs
            position = 0
            if segment.base_offset < start:
                load_rolled(log, segment)
                position, _ = segment.find(start)
            for _, header in walk.headers(segment.file(), position, segment.size):
                if header.base_offset >= end:
                    break
                if header.producer_id >= 0:
                    ledger.observe(header)
        segment.let_go()
    return end
