"""Which readers are reading what is not in the page cache.

preadv(RWF_NOWAIT) on a cold file is not free: before it says no, and while read-ahead keeps just
ahead of the reader, it allocates pages and copies what is there, at times for milliseconds on
the loop. So after one miss, the reads that follow on from it go to a thread at once, until that
finds the file in memory much farther ahead than the kernel reads ahead: a part of a file may be
cold where the rest is not. Near the end of the file the loop asks the cache again: what was written
last is still there.
"""

from typing import Final

from headrace.storage.log import Slice

_WARM_END_BYTES: Final = 8 * 1024 * 1024
_AHEAD_BYTES: Final = tuple(n * 1024 * 1024 for n in (24, 48, 96))
"""Read-ahead of 8 MiB, which cloud machines have, is two windows deep."""
_READERS_MAX: Final = 256


class ColdReaders:
    """The place where each such reader will read next."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], None] = {}

    def expects(self, piece: Slice) -> bool:
        """Whether this read follows on from one that missed. HOT."""
        return bool(self._places) and (piece.file.path, piece.position) in self._places

    def was_read(self, piece: Slice, *, warm: bool) -> None:
        """A thread read this; so it will what begins where this ends, unless the file is warm."""
        path, end = piece.file.path, piece.position + piece.count
        self._places.pop((path, piece.position), None)
        if not warm and end < piece.file.size - _WARM_END_BYTES:
            if len(self._places) >= _READERS_MAX:
                self._places.pop(next(iter(self._places)))
            self._places[path, end] = None


def warm_ahead(piece: Slice) -> bool:
    """Whether the file is in memory far behind this piece. May take long. Raises DiskFault."""
    file, end = piece.file, piece.position + piece.count
    places = [end + ahead for ahead in _AHEAD_BYTES if end + ahead < file.size]
    return bool(places) and all(file.resident(1, place) for place in places)
