"""Which leader epoch each offset was written in: the leader-epoch-checkpoint of a partition.

The file is text: version 0, the number of entries, then `epoch start_offset` a line. It is
written by flush and close; what is newer is derived again from the batches above the recovery
point. Source: KIP-101, KIP-279.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

NO_EPOCH: Final = -1
NO_OFFSET: Final = -1


class CorruptEpochs(Exception):
    """The checkpoint is no such file; the epochs are read from the batches instead."""


class EpochEntry(NamedTuple):
    """An epoch and the first offset written in it."""

    epoch: int
    start_offset: int


class EpochCache:
    """Entries in order; both epoch and start offset grow strictly.

    `dirty` says that the file is behind.
    """

    __slots__ = ("_entries", "dirty")

    def __init__(self, entries: Iterable[EpochEntry] = ()) -> None:
        self._entries: list[EpochEntry] = list(entries)
        self.dirty = False

    @property
    def entries(self) -> tuple[EpochEntry, ...]:
        return tuple(self._entries)

    @property
    def latest(self) -> int:
        """The newest epoch, or -1."""
        return self._entries[-1].epoch if self._entries else NO_EPOCH

    def assign(self, epoch: int, start_offset: int) -> None:
        """`epoch` begins at `start_offset`; entries that contradict it go.

        A batch of the newest epoch, further on, changes nothing.
        """
        entries = self._entries
        if epoch < 0:
            return
        if entries and entries[-1].epoch == epoch and entries[-1].start_offset <= start_offset:
            return
        while entries and (entries[-1].epoch >= epoch or entries[-1].start_offset >= start_offset):
            entries.pop()
        entries.append(EpochEntry(epoch, start_offset))
        self.dirty = True

    def assign_at(self, epoch: int, offset: int) -> None:
        """A batch of `epoch` stands at `offset`: as `assign`, unless that is known already."""
        if self.epoch_at(offset) != epoch:
            self.assign(epoch, offset)

    def epoch_at(self, offset: int) -> int:
        """The epoch that `offset` was written in, or -1."""
        number = bisect_right(self._entries, offset, key=_start_of) - 1
        return self._entries[number].epoch if number >= 0 else NO_EPOCH

    def end_offset_for(self, epoch: int, log_end_offset: int) -> EpochEntry:
        """The greatest epoch at most `epoch` and the offset after its last, as in KIP-279.

        (-1, -1) for an epoch newer than all, or where there are none. An epoch older than the
        first answers the first one's start.
        """
        entries = self._entries
        if not entries or epoch < 0 or epoch > entries[-1].epoch:
            return EpochEntry(NO_EPOCH, NO_OFFSET)
        if epoch == entries[-1].epoch:
            return EpochEntry(epoch, log_end_offset)
        number = bisect_right(entries, epoch, key=_epoch_of)
        if not number:
            return EpochEntry(epoch, entries[0].start_offset)
        return EpochEntry(entries[number - 1].epoch, entries[number].start_offset)

    def truncate_from_end(self, offset: int) -> None:
        """The log now ends at `offset`."""
        entries = self._entries
        while entries and entries[-1].start_offset >= offset:
            entries.pop()
            self.dirty = True

    def truncate_from_start(self, offset: int) -> None:
        """The log now begins at `offset`."""
        entries = self._entries
        number = bisect_right(entries, offset, key=_start_of) - 1
        if number > 0 or (number == 0 and entries[0].start_offset < offset):
            entries[: number + 1] = [EpochEntry(entries[number].epoch, offset)]
            self.dirty = True

    def clear(self) -> None:
        self._entries.clear()
        self.dirty = True

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = ["0", str(len(self._entries))]
        lines += [f"{epoch} {offset}" for epoch, offset in self._entries]
        return ("\n".join(lines) + "\n").encode()


def decode_epochs(data: bytes) -> EpochCache:
    """The file read back; an empty one is empty. Raises CorruptEpochs."""
    if not data:
        return EpochCache()
    try:
        version, count, *lines = data.decode("ascii").splitlines()
        if int(version) != 0 or int(count) != len(lines):
            raise ValueError(f"version {version}, {count} entries announced, {len(lines)} there")
        entries = [EpochEntry(*map(int, line.split(" "))) for line in lines]
    except (ValueError, TypeError) as error:
        raise CorruptEpochs(f"not a leader epoch checkpoint: {error}") from error
    for before, after in pairwise(entries):
        if before.epoch >= after.epoch or before.start_offset >= after.start_offset:
            raise CorruptEpochs(f"leader epochs out of order: {before} before {after}")
    return EpochCache(entries)


def _start_of(entry: EpochEntry) -> int:
    return entry.start_offset


def _epoch_of(entry: EpochEntry) -> int:
    return entry.epoch
