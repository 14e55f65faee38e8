"""The two sparse indexes of a segment, in Kafka's format.

Entries wait in arrays and go to their file a few hundred at once: a system call for each would
cost more than the append itself. What has been written is looked up in the file, a block at a
time, so an index costs no memory however long its segment is. An index that is only a prefix
of what it could be is still right: a look-up then walks further.

Offset index: relative last offset of a batch (int32), its position (int32).
Time index: greatest timestamp so far (int64), relative last offset of its batch (int32).
"""

import struct
import sys
from array import array
from bisect import bisect_right
from operator import lt
from typing import Final

from headrace.storage.disk import Disk, DiskFull, File

OFFSET_ENTRY_BYTES: Final = 8
TIME_ENTRY_BYTES: Final = 12
SPILL_ENTRIES: Final = 512
"""4 KiB of offset index, which stand for 2 MiB of records at the default interval."""
_BLOCK_ENTRIES: Final = 512
_OFFSET_ENTRY: Final = struct.Struct(">ii")
_TIME_ENTRY: Final = struct.Struct(">qi")
_SWAP_BYTES: Final = sys.byteorder == "little"


class OffsetIndex:
    """From offset to position and from position to the batch boundary below it.

    Offsets are relative to the segment's base. Entries are numbered from 0; the first
    `written` are in the file, the others in memory.
    """

    __slots__ = ("_disk", "_file", "_offsets", "_positions", "held", "path", "written")

    def __init__(self, disk: Disk, path: str) -> None:
        self.path = path
        self.written = 0
        self.held = False  # entries wait in memory until `spill`, whatever their number
        self._disk = disk
        self._file: File | None = None
        self._offsets = array("i")
        self._positions = array("i")

    def load(self) -> int:
        """Take over the file; the bytes behind its last whole entry, -1 where it is missing."""
        try:
            size = self.file().size
        except FileNotFoundError:
            return -1
        self.written = size // OFFSET_ENTRY_BYTES
        return size % OFFSET_ENTRY_BYTES

    def file(self) -> File:
        """The file, opened if it is not. Raises FileNotFoundError."""
        if self._file is None:
            self._file = self._disk.open(self.path)
        return self._file

    @property
    def entries(self) -> int:
        return self.written + len(self._offsets)

    def append(self, offset: int, position: int) -> None:
        """Add an entry; both grow from entry to entry."""
        self._offsets.append(offset)
        self._positions.append(position)
        if len(self._offsets) >= SPILL_ENTRIES and not self.held:
            self.spill_if_room()

    def spill_if_room(self) -> None:
        """Write what waits and let the file go; on a full disk it goes on waiting."""
        try:
            self.spill()
        except DiskFull:
            pass
        self.let_go()

    def spill(self) -> File:
        """Write what waits and return the file. Raises DiskFull."""
        if self._file is None:
            self._file = self._disk.open(self.path, create=True)
        if self._offsets:
            pairs = array("i", bytes(OFFSET_ENTRY_BYTES * len(self._offsets)))
            pairs[0::2] = self._offsets
            pairs[1::2] = self._positions
            if _SWAP_BYTES:
                pairs.byteswap()
            self._file.append(pairs)
            self.written += len(self._offsets)
            self._offsets = array("i")
            self._positions = array("i")
        return self._file

    def entry(self, number: int) -> tuple[int, int]:
        """(offset, position) of one entry."""
        if number >= self.written:
            at = number - self.written
            return self._offsets[at], self._positions[at]
        data = self.file().pread(OFFSET_ENTRY_BYTES, number * OFFSET_ENTRY_BYTES)
        offset, position = _OFFSET_ENTRY.unpack(data)
        return offset, position

    def _block(self, first: int, count: int) -> "array[int]":
        """Offsets and positions in turn of up to `count` written entries from `first` on."""
        count = min(count, self.written - first)
        pairs = array("i")
        pairs.frombytes(self.file().pread(count * OFFSET_ENTRY_BYTES, first * OFFSET_ENTRY_BYTES))
        if _SWAP_BYTES:
            pairs.byteswap()
        return pairs

    def ordered(self, entries: int) -> bool:
        """Whether offsets and positions of the first `entries` grow, as they must."""
        pairs = self._block(0, entries)
        return all(all(map(lt, column, column[1:])) for column in (pairs[0::2], pairs[1::2]))

    def floor_offset(self, offset: int) -> int:
        """The number of the last entry whose offset is at most `offset`; -1 if there is none."""
        return self._floor(offset, 0, self._offsets)

    def floor_position(self, position: int) -> int:
        """The number of the last entry whose position is at most `position`; -1 if none."""
        return self._floor(position, 1, self._positions)

    def _floor(self, value: int, column: int, waiting: "array[int]") -> int:
        if waiting and waiting[0] <= value:
            return self.written + bisect_right(waiting, value) - 1
        low, high = 0, (self.written + _BLOCK_ENTRIES - 1) // _BLOCK_ENTRIES
        while high - low > 1:  # the last block whose first entry is at most value
            middle = (low + high) // 2
            if self.entry(middle * _BLOCK_ENTRIES)[column] <= value:
                low = middle
            else:
                high = middle
        if not high:
            return -1
        first = low * _BLOCK_ENTRIES
        return first + bisect_right(self._block(first, _BLOCK_ENTRIES)[column::2], value) - 1

    def floor_position_from(self, position: int, number: int, count: int) -> int:
        """As floor_position where the answer is probably among `count` entries from `number`."""
        number = max(number, 0)
        if number < self.written:
            positions = self._block(number, count)[1::2]
            found = bisect_right(positions, position)
            if found and (found < len(positions) or number + found == self.entries):
                return number + found - 1
        return self.floor_position(position)

    def cut(self, entries: int) -> None:
        """Keep the first `entries`, and in the file nothing else."""
        self.written = min(self.written, entries)
        _truncate(self, self.written * OFFSET_ENTRY_BYTES)
        del self._offsets[entries - self.written :]
        del self._positions[entries - self.written :]

    def let_go(self) -> None:
        """Drop the descriptor; the next look-up opens the file again."""
        self._file = None


class TimeIndex:
    """From timestamp to the offset from which on to look; timestamps and offsets only grow."""

    __slots__ = ("_disk", "_file", "_waiting", "last_offset", "last_timestamp", "path", "written")

    def __init__(self, disk: Disk, path: str) -> None:
        self.path = path
        self.written = 0
        self.last_timestamp = -1
        self.last_offset = 0
        self._disk = disk
        self._file: File | None = None
        self._waiting: list[tuple[int, int]] = []

    def load(self) -> int:
        """Take over the file; the bytes behind its last whole entry, -1 where it is missing."""
        try:
            size = self.file().size
        except FileNotFoundError:
            return -1
        self.written = size // TIME_ENTRY_BYTES
        self._read_last()
        return size % TIME_ENTRY_BYTES

    def file(self) -> File:
        """The file, opened if it is not. Raises FileNotFoundError."""
        if self._file is None:
            self._file = self._disk.open(self.path)
        return self._file

    @property
    def entries(self) -> int:
        return self.written + len(self._waiting)

    def append(self, timestamp: int, offset: int) -> None:
        """Add an entry, unless the timestamp is no greater than the last one's."""
        if timestamp <= self.last_timestamp:
            return
        self._waiting.append((timestamp, offset))
        self.last_timestamp = timestamp
        self.last_offset = offset
        if len(self._waiting) >= SPILL_ENTRIES:
            self.spill_if_room()

    def spill_if_room(self) -> None:
        """Write what waits and let the file go; on a full disk it goes on waiting."""
        try:
            self.spill()
        except DiskFull:
            pass
        self.let_go()

    def spill(self) -> File:
        """Write what waits and return the file. Raises DiskFull."""
        if self._file is None:
            self._file = self._disk.open(self.path, create=True)
        if self._waiting:
            self._file.append(b"".join(_TIME_ENTRY.pack(*entry) for entry in self._waiting))
            self.written += len(self._waiting)
            self._waiting = []
        return self._file

    def entry(self, number: int) -> tuple[int, int]:
        """(timestamp, offset) of one entry."""
        if number >= self.written:
            return self._waiting[number - self.written]
        data = self.file().pread(TIME_ENTRY_BYTES, number * TIME_ENTRY_BYTES)
        timestamp, offset = _TIME_ENTRY.unpack(data)
        return timestamp, offset

    def offset_below(self, timestamp: int) -> int:
        """An offset below which every batch is older than `timestamp` (relative, 0 at least)."""
        low, high = 0, self.entries
        while low < high:
            middle = (low + high) // 2
            if self.entry(middle)[0] <= timestamp:
                low = middle + 1
            else:
                high = middle
        # An equal timestamp may stand earlier too, but then its batch is this entry's.
        return self.entry(low - 1)[1] if low else 0

    def cut(self, offset: int) -> None:
        """Drop entries for batches whose last offset is above `offset` (relative); -1 is all."""
        keep, high = 0, self.entries if offset >= 0 else 0
        while keep < high:
            middle = (keep + high) // 2
            if self.entry(middle)[1] <= offset:
                keep = middle + 1
            else:
                high = middle
        self.written = min(self.written, keep)
        _truncate(self, self.written * TIME_ENTRY_BYTES)
        del self._waiting[keep - self.written :]
        self._read_last()

    def trust(self, offset: int) -> None:
        """After a crash: keep the entries up to `offset`, and none from the first on that is out
        of order, as the zeros are that a torn file ends with."""
        keep, before = 0, (-1, -1)
        data = self.file().pread(self.written * TIME_ENTRY_BYTES, 0)
        for entry in _TIME_ENTRY.iter_unpack(data):
            if entry[1] > offset or entry[0] <= before[0] or entry[1] < before[1]:
                break
            if entry == (0, 0):
                break
            keep, before = keep + 1, entry
        self.written = min(self.written, keep)
        _truncate(self, self.written * TIME_ENTRY_BYTES)
        self._read_last()

    def _read_last(self) -> None:
        count = self.entries
        self.last_timestamp, self.last_offset = self.entry(count - 1) if count else (-1, 0)

    def let_go(self) -> None:
        """Drop the descriptor; the next look-up opens the file again."""
        self._file = None


def _truncate(index: OffsetIndex | TimeIndex, size: int) -> None:
    try:
        file = index.file()
    except FileNotFoundError:
        return  # never written, or lost: `written` is 0
    if file.size != size:
        file.truncate(size)
