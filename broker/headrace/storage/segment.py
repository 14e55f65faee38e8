"""One segment of a log: a file of batches and its two indexes.

A rolled segment never changes and keeps no file open until it is read. The active one has its
log file open and also carries what the next append must know.
"""

from typing import Final

from headrace.base.units import INT32_MAX
from headrace.storage import walk
from headrace.storage.disk import Disk, DiskFault, File, Read, read_patiently
from headrace.storage.index import OffsetIndex, TimeIndex
from headrace.storage.names import INDEX, LOG, SEGMENT_SUFFIXES, TIME_INDEX, file_name

NO_TIMESTAMP: Final = -1


class Segment:
    """Batches from `base_offset` on. Positions are bytes in the log file.

    `max_timestamp` and `max_timestamp_offset` (the last offset of its batch) and the indexes are
    known once `loaded`. `end_offset` is the next segment's base offset, -1 for the active one.
    """

    __slots__ = (
        "_disk",
        "_file",
        "_size",
        "active",
        "base_offset",
        "created_ms",
        "end_offset",
        "first_timestamp",
        "folder",
        "index",
        "loaded",
        "max_timestamp",
        "max_timestamp_offset",
        "next_index_at",
        "path",
        "time_index",
    )

    def __init__(self, disk: Disk, folder: str, base_offset: int, size: int) -> None:
        self.folder = folder
        self.base_offset = base_offset
        self.path = f"{folder}/{file_name(base_offset, LOG)}"
        self.index = OffsetIndex(disk, f"{folder}/{file_name(base_offset, INDEX)}")
        self.time_index = TimeIndex(disk, f"{folder}/{file_name(base_offset, TIME_INDEX)}")
        self.active = False
        self.end_offset = -1
        self.max_timestamp = NO_TIMESTAMP
        self.max_timestamp_offset = -1
        self.first_timestamp = NO_TIMESTAMP
        self.created_ms = 0
        self.next_index_at = -1
        self.loaded = False
        self._disk = disk
        self._file: File | None = None
        self._size = size

    @property
    def size(self) -> int:
        """Bytes of the log file."""
        return self._size if self._file is None else self._file.size

    def file(self) -> File:
        """The log file, opened if it is not. Raises DiskFault where it is gone."""
        if self._file is None:
            try:
                self._file = self._disk.open(self.path)
            except FileNotFoundError as fault:
                raise DiskFault(f"{self.path} is gone: somebody else removed it") from fault
        return self._file

    def create(self) -> File:
        """Make the log file, empty; a leftover of that name is emptied."""
        self._file = self._disk.open(self.path, create=True)
        if self._file.size:
            self._file.truncate(0)
        self.loaded = True
        return self._file

    def let_go(self) -> None:
        """Drop what is reopened on demand; whoever still holds a file may go on reading it."""
        self.index.let_go()
        self.time_index.let_go()
        if not self.active and self._file is not None:
            self._size = self._file.size
            self._file = None

    def add_entry(self, position: int, last_offset: int) -> None:
        """Index the batch at `position`; `max_timestamp` already counts it."""
        self.index.append(last_offset - self.base_offset, position)
        self.add_time_entry()

    def add_time_entry(self) -> None:
        """Put the greatest timestamp so far in the time index, if it is new."""
        if self.max_timestamp >= 0:
            self.time_index.append(self.max_timestamp, self.max_timestamp_offset - self.base_offset)

    def finish(self) -> None:
        """Complete the index files as the segment becomes immutable. Raises DiskFull."""
        self.add_time_entry()
        self.index.spill()
        self.time_index.spill()

    def find(self, offset: int, read: Read = read_patiently) -> tuple[int, int]:
        """Position and base offset of the first batch that ends at or after `offset`.

        (size, -1) where every batch ends before it.
        """
        relative = min(offset - self.base_offset, INT32_MAX)
        number = self.index.floor_offset(relative, read)
        position = self.index.entry(number, read)[1] if number >= 0 else 0
        return walk.find_offset(self.file(), position, offset, self.size, read)

    def boundary(
        self, start: int, limit: int, hint: int, span: int, read: Read = read_patiently
    ) -> tuple[int, int, int]:
        """A batch boundary in [start, limit], and the offset that is read from there.

        It is the last, or an indexed one where that costs less than an eighth of the bytes.
        `start` is a boundary and `limit` < size; where the first batch is longer than that, its
        end. Third comes the index entry below, which is the next call's `hint` (-1: none): the
        entry wanted is probably within `span` of it.
        """
        index = self.index
        if hint >= 0:
            number = index.floor_position_from(limit, hint, span, read)
        else:
            number = index.floor_position(limit, read)
        position = index.entry(number, read)[1] if number >= 0 else 0
        file = self.file()
        if limit - position < (limit - start) >> 3:
            return position, walk.base_offset_at(file, position, read), number
        position, offset = walk.last_boundary(file, max(position, start), limit, self.size, read)
        if position == start:
            position, offset = walk.batch_end(file, start, self.size, read)
        return position, offset, number

    def load(self) -> bool:
        """Learn what a rolled segment's index files say; False where they cannot be right."""
        if self.loaded:
            return True
        index, time_index = self.index, self.time_index
        if index.load() or time_index.load():
            return False
        if index.entries:
            offset, position = index.entry(index.entries - 1)
            if not self.may_hold(offset) or not 0 < position < self.size:
                return False
        if time_index.entries and (
            time_index.last_timestamp < 0 or not self.may_hold(time_index.last_offset)
        ):
            return False
        if time_index.entries and time_index.last_timestamp == time_index.last_offset == 0:
            return False  # the zeros of a torn file, or so rare that it is worth a look
        self.take_max_timestamp()
        self.loaded = True
        return True

    def may_hold(self, relative_offset: int) -> bool:
        """Whether a rolled segment can have this offset; of the active one nothing is known."""
        most = self.end_offset - self.base_offset if self.end_offset >= 0 else INT32_MAX + 1
        return 0 <= relative_offset < most

    def take_max_timestamp(self) -> None:
        """Believe the time index about the greatest timestamp."""
        time_index = self.time_index
        self.max_timestamp = time_index.last_timestamp
        self.max_timestamp_offset = self.base_offset + time_index.last_offset

    def paths(self) -> list[str]:
        """Every file that may belong to the segment."""
        return [f"{self.folder}/{file_name(self.base_offset, s)}" for s in SEGMENT_SUFFIXES]
