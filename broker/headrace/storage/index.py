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
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from operator import lt
from typing import ClassVar, Final

from headrace.storage.disk import Disk, DiskFull, File, Read, read_patiently

OFFSET_ENTRY_BYTES: Final = 8
TIME_ENTRY_BYTES: Final = 12
SPILL_ENTRIES: Final = 512
"""4 KiB of offset index, which stand for 2 MiB of records at the default interval."""
_BLOCK_ENTRIES: Final = 512
_OFFSET_ENTRY: Final = struct.Struct(">ii")
_TIME_ENTRY: Final = struct.Struct(">qi")
_SWAP_BYTES: Final = sys.byteorder == "little"


class _Index(ABC):
    """Entries numbered from 0: the first `written` are in the file, the others wait in memory."""

    __slots__ = ("_disk", "_file", "path", "written")
    entry_bytes: ClassVar[int]

    def __init__(self, disk: Disk, path: str) -> None:
        self.path = path
        self.written = 0
        self._disk = disk
        self._file: File | None = None

    @property
    @abstractmethod
    def entries(self) -> int:
        """All of them, written or not."""

    @abstractmethod
    def _packed(self) -> "bytes | array[int]":
        """What waits, as the file holds it."""

    @abstractmethod
    def _keep_waiting(self, count: int) -> None:
        """Forget all that waits but the first `count`."""

    def load(self) -> int:
        """Take over the file; the bytes behind its last whole entry, -1 where it is missing."""
        try:
            size = self.file().size
        except FileNotFoundError:
            return -1
        self.written = size // self.entry_bytes
        return size % self.entry_bytes

    def file(self) -> File:
        """The file, opened if it is not. Raises FileNotFoundError."""
        if self._file is None:
            self._file = self._disk.open(self.path)
        return self._file

    def let_go(self) -> None:
        """Drop the descriptor; the next look-up opens the file again."""
        self._file = None

    def spill(self) -> File:
        """Write what waits and return the file. Raises DiskFull."""
        if self._file is None:
            self._file = self._disk.open(self.path, create=True)
        if self.entries > self.written:
            self._file.append(self._packed())
            self.written = self.entries
            self._keep_waiting(0)
        return self._file

    def spill_if_room(self) -> None:
        """Write what waits and let the file go; on a full disk it goes on waiting."""
        try:
            self.spill()
        except DiskFull:
            pass
        self.let_go()

    def cut(self, entries: int) -> None:
        """Keep the first `entries`, and in the file nothing else."""
        self.written = min(self.written, entries)
        self._keep_waiting(entries - self.written)
        try:
            file = self.file()
        except FileNotFoundError:
            return  # never written, or lost: `written` is 0
        size = self.written * self.entry_bytes
        if file.size != size:
            file.truncate(size)


class OffsetIndex(_Index):
    """From offset to position and from position to the batch boundary below it.

    Offsets are relative to the segment's base.
    """

    __slots__ = ("_offsets", "_positions", "held")
    entry_bytes = OFFSET_ENTRY_BYTES

    def __init__(self, disk: Disk, path: str) -> None:
        super().__init__(disk, path)
        self.held = False  # entries wait in memory until `spill`, whatever their number
        self._offsets = array("i")
        self._positions = array("i")

    @property
    def entries(self) -> int:
        return self.written + len(self._offsets)

    def append(self, offset: int, position: int) -> None:
        """Add an entry; both grow from entry to entry."""
        self._offsets.append(offset)
        self._positions.append(position)
        if len(self._offsets) >= SPILL_ENTRIES and not self.held:
            self.spill_if_room()

    def _packed(self) -> "array[int]":
        pairs = array("i", bytes(OFFSET_ENTRY_BYTES * len(self._offsets)))
        pairs[0::2] = self._offsets
        pairs[1::2] = self._positions
        if _SWAP_BYTES:
            pairs.byteswap()
        return pairs

    def _keep_waiting(self, count: int) -> None:
        del self._offsets[count:]
        del self._positions[count:]

    def entry(self, number: int, read: Read = read_patiently) -> tuple[int, int]:
        """(offset, position) of one entry."""
        if number >= self.written:
            at = number - self.written
            return self._offsets[at], self._positions[at]
        data = read(self.file(), OFFSET_ENTRY_BYTES, number * OFFSET_ENTRY_BYTES)
        offset, position = _OFFSET_ENTRY.unpack(data)
        return offset, position

    def _block(self, first: int, count: int, read: Read = read_patiently) -> "array[int]":
        """Offsets and positions in turn of up to `count` written entries from `first` on."""
        count = min(count, self.written - first)
        pairs = array("i")
        pairs.frombytes(read(self.file(), count * OFFSET_ENTRY_BYTES, first * OFFSET_ENTRY_BYTES))
        if _SWAP_BYTES:
            pairs.byteswap()
        return pairs

    def ordered(self, entries: int) -> bool:
        """Whether offsets and positions of the first `entries` grow, as they must."""
        pairs = self._block(0, entries)
        return all(all(map(lt, column, column[1:])) for column in (pairs[0::2], pairs[1::2]))

    def floor_offset(self, offset: int, read: Read = read_patiently) -> int:
        """The number of the last entry whose offset is at most `offset`; -1 if there is none."""
        return self._floor(offset, 0, self._offsets, read)

    def floor_position(self, position: int, read: Read = read_patiently) -> int:
        """The number of the last entry whose position is at most `position`; -1 if none."""
        return self._floor(position, 1, self._positions, read)

    def _floor(self, value: int, column: int, waiting: "array[int]", read: Read) -> int:
        if waiting and waiting[0] <= value:
            return self.written + bisect_right(waiting, value) - 1
        low, high = 0, (self.written + _BLOCK_ENTRIES - 1) // _BLOCK_ENTRIES
        while high - low > 1:  # the last block whose first entry is at most value
            middle = (low + high) // 2
            if self.entry(middle * _BLOCK_ENTRIES, read)[column] <= value:
                low = middle
            else:
                high = middle
        if not high:
            return -1
        first = low * _BLOCK_ENTRIES
        found = self._block(first, _BLOCK_ENTRIES, read)[column::2]
        return first + bisect_right(found, value) - 1

    def floor_position_from(
        self, position: int, number: int, count: int, read: Read = read_patiently
    ) -> int:
        """As floor_position where the answer is probably among `count` entries from `number`."""
        number = max(number, 0)
        if number < self.written:
            positions = self._block(number, count, read)[1::2]
            found = bisect_right(positions, position)
            if found and (found < len(positions) or number + found == self.entries):
                return number + found - 1
        return self.floor_position(position, read)


class TimeIndex(_Index):
    """From timestamp to the offset from which on to look; timestamps and offsets only grow."""

    __slots__ = ("_waiting", "last_offset", "last_timestamp")
    entry_bytes = TIME_ENTRY_BYTES

    def __init__(self, disk: Disk, path: str) -> None:
        super().__init__(disk, path)
        self.last_timestamp = -1
        self.last_offset = 0
        self._waiting: list[tuple[int, int]] = []

    def load(self) -> int:
        """As of every index; what the last entry says is known from then on."""
        torn_bytes = super().load()
        self._read_last()
        return torn_bytes

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

    def _packed(self) -> bytes:
        return b"".join(_TIME_ENTRY.pack(*entry) for entry in self._waiting)

    def _keep_waiting(self, count: int) -> None:
        del self._waiting[count:]

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

    def cut_above(self, offset: int) -> None:
        """Drop entries for batches whose last offset is above `offset` (relative); -1 is all."""
        keep, high = 0, self.entries if offset >= 0 else 0
        while keep < high:
            middle = (keep + high) // 2
            if self.entry(middle)[1] <= offset:
                keep = middle + 1
            else:
                high = middle
        self.cut(keep)
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
        self.cut(keep)
        self._read_last()

    def _read_last(self) -> None:
        count = self.entries
        self.last_timestamp, self.last_offset = self.entry(count - 1) if count else (-1, 0)
