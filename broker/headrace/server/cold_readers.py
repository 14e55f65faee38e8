"""Which readers are reading what is not in the page cache.

preadv(RWF_NOWAIT) on a cold file is not free: before it says no, and while read-ahead keeps just
ahead of the reader, it allocates pages and copies what is there, at times for milliseconds on
the loop. So after one miss, the reads that follow on from it go to a thread at once, until the
reader comes near the end of the file, where what was written last is still in memory.
"""

from typing import Final

from headrace.storage.log import Slice

_WARM_END_BYTES: Final = 8 * 1024 * 1024
_READERS_MAX: Final = 256


class ColdReaders:
    """The place where each such reader will read next."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], None] = {}

    def expects(self, piece: Slice) -> bool:
        """Whether this read follows on from one that missed. HOT."""
        return bool(self._places) and (piece.file.path, piece.position) in self._places

    def missed(self, piece: Slice) -> None:
        """This read goes to a thread; so will the one that begins where it ends."""
        path, end = piece.file.path, piece.position + piece.count
        self._places.pop((path, piece.position), None)
        if end < piece.file.size - _WARM_END_BYTES:
            if len(self._places) >= _READERS_MAX:
                self._places.pop(next(iter(self._places)))
            self._places[path, end] = None
