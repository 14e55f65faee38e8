"""Bugs to plant: each checker is first shown to catch what it is there for."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from headrace.core.replica import Replica
from headrace.server.flusher import Flushable, Flusher
from headrace.sim.disk import SimDisk
from headrace.storage import opening
from headrace.storage.flush import Flush
from headrace.storage.names import CLEANED
from headrace.storage.recovery import Scan
from headrace.storage.segment import Segment
from headrace.storage.snapshots import Snapshots


class Planted(Enum):
    """What is wrong with the storage code in a run."""

    MISSING_DIRECTORY_SYNC = auto()
    """New segments and replaced checkpoints have names that a power cut takes away."""
    MISSING_FOLDER_SYNC = auto()
    """A new partition's folder has a name that a power cut takes away, with what is in it."""
    MISSING_SYNC = auto()
    """fdatasync is not called."""
    EARLY_ACKNOWLEDGEMENT = auto()
    """durability=ack answers before the sync."""
    LATECOMERS_ACKNOWLEDGED = auto()
    """A sync is taken to cover what was appended while it ran."""
    FORGOTTEN_INTERVAL = auto()
    """durability=interval never asks for a sync."""
    EARLY_RECOVERY_POINT = auto()
    """The checkpoint says that everything appended is durable."""
    FORGOTTEN_DELETION = auto()
    """DeleteRecords answers before the log start is checkpointed."""
    CLEAN_MARKER_LEFT = auto()
    """The clean-shutdown marker is still there while the broker runs."""
    STALE_INDEX_TRUSTED = auto()
    """Recovery believes index entries above the recovery point."""
    FUTURE_SNAPSHOT = auto()
    """Recovery restores the newest producer snapshot, even one above the log's end."""
    UNSYNCED_SWAP = auto()
    """A cleaned segment replaces others before it is durable."""


@contextmanager
def planted(bug: Planted | None) -> Iterator[None]:
    """Plant those that are in the code of recovery; the others the workload or disk does."""
    if bug is Planted.STALE_INDEX_TRUSTED:
        with _replaced(opening, "_trusted", _trust_everything):
            yield
    elif bug is Planted.FUTURE_SNAPSHOT:
        restore = Snapshots.restore

        def newest(self: Snapshots, ledger: Any, at_most: int, **more: Any) -> int | None:
            return restore(self, ledger, 1 << 62, **more)

        with (
            _replaced(Snapshots, "restore", newest),
            _replaced(Snapshots, "remove_from", lambda self, offset: None),
        ):
            yield
    elif bug is Planted.MISSING_FOLDER_SYNC:
        finish = Flush._finish_names

        def without_the_folder(self: Flush) -> None:
            self.folder_new = False
            finish(self)

        with _replaced(Flush, "_finish_names", without_the_folder):
            yield
    elif bug is Planted.EARLY_ACKNOWLEDGEMENT:
        with _replaced(Replica, "appended", _count_as_durable):
            yield
    elif bug is Planted.LATECOMERS_ACKNOWLEDGED:
        with _replaced(Replica, "flushed", _count_all_as_durable):
            yield
    elif bug is Planted.FORGOTTEN_INTERVAL:
        with _replaced(Flusher, "due", _never_due):
            yield
    else:
        yield


def plant_on_disk(disk: SimDisk, bug: Planted | None) -> None:
    """Plant the missing syncs."""
    if bug is Planted.MISSING_DIRECTORY_SYNC:
        disk.ignores = lambda kind, path: kind == "sync_dir" and path.endswith("-0")
    elif bug is Planted.MISSING_SYNC:
        disk.ignores = lambda kind, path: kind == "sync" and path.endswith(".log")
    elif bug is Planted.UNSYNCED_SWAP:
        disk.ignores = lambda kind, path: kind == "sync" and path.endswith(CLEANED)


def _trust_everything(segment: Segment, recovery_point: int, interval_bytes: int) -> Scan:
    index = segment.index
    index.load()
    segment.time_index.load()
    segment.take_max_timestamp()
    segment.loaded = True
    if not index.entries:
        return Scan(0, segment.base_offset)
    offset, position = index.entry(index.entries - 1)
    return Scan(min(position, segment.size), segment.base_offset + offset)


def _count_as_durable(self: Replica, log_end_offset: int) -> bool:
    self.log_end_offset = self.high_watermark = log_end_offset
    return True


def _count_all_as_durable(self: Replica, offset: int) -> bool:
    self.high_watermark = self.log_end_offset
    return True


def _never_due(self: Flusher, partition: Flushable) -> None:
    """The timer that is not there."""


@contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
