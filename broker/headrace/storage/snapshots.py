"""The producer snapshots in a partition's folder: one file an offset, named like a segment.

One stands at each segment's base offset (taken as the segment was begun), and those of
checkpoints and of the last close between them. Kafka keeps the same set.
"""

from collections.abc import Sequence

from headrace.storage.disk import Disk, File
from headrace.storage.ledger import Ledger
from headrace.storage.names import SNAPSHOT, file_name
from headrace.wire.producer_snapshot import CorruptSnapshot, decode_snapshot, encode_snapshot


class Snapshots:
    """`offsets` is sorted."""

    __slots__ = ("_disk", "_folder", "offsets")

    def __init__(self, disk: Disk, folder: str, offsets: Sequence[int]) -> None:
        self._disk = disk
        self._folder = folder
        self.offsets = sorted(offsets)

    def write(self, offset: int, ledger: Ledger) -> File | None:
        """Write what the ledger knows, unsynced; None if it stands already. Raises DiskFull."""
        if offset in self.offsets:
            return None
        file = self._disk.open(self._path(offset), create=True)
        if file.size:
            file.truncate(0)
        file.append(encode_snapshot(ledger.entries()))
        self.offsets.append(offset)
        self.offsets.sort()
        return file

    def restore(self, ledger: Ledger, at_most: int) -> int | None:
        """Fill the ledger from the newest whole snapshot of `at_most` or below.

        Returns its offset; None, and an empty ledger, where there is none. A broken one goes.
        """
        for offset in reversed([o for o in self.offsets if o <= at_most]):
            try:
                ledger.restore(decode_snapshot(self._disk.read(self._path(offset))))
            except (CorruptSnapshot, FileNotFoundError):
                self.remove(offset)
            else:
                return offset
        ledger.restore([])
        return None

    def keep(self, segment_bases: Sequence[int], newest: int) -> None:
        """Remove all but those at a segment's base and the `newest` others."""
        bases = set(segment_bases)
        others = [offset for offset in self.offsets if offset not in bases]
        for offset in others[: max(0, len(others) - newest)]:
            self.remove(offset)

    def remove_from(self, offset: int) -> None:
        """Remove those of `offset` and above."""
        for found in [o for o in self.offsets if o >= offset]:
            self.remove(found)

    def remove_below(self, offset: int) -> None:
        """Remove those below `offset`."""
        for found in [o for o in self.offsets if o < offset]:
            self.remove(found)

    def remove(self, offset: int) -> None:
        self._disk.remove(self._path(offset))
        self.offsets.remove(offset)

    def _path(self, offset: int) -> str:
        return f"{self._folder}/{file_name(offset, SNAPSHOT)}"
