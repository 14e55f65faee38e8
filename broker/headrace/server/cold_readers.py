"""Which readers are reading what is not in the page cache.

preadv(RWF_NOWAIT) on a cold file is not free: before it says no it allocates read-ahead and
copies what is there, 75 us and at times milliseconds on the loop. So after one miss, the reads
that follow on from it go to a thread at once, and only now and then is the page cache asked again.
"""

from typing import Final

from headrace.storage.log import Slice

_READS: Final = 64
"""Reads in a thread before the page cache is asked again: 64 MiB of a fast reader."""
_READERS_MAX: Final = 256


class ColdReaders:
    """The place where each such reader will read next, and how often it still goes to a thread."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], int] = {}

    def expects(self, piece: Slice) -> bool:
        """Whether this read follows on from one that missed. HOT."""
        return bool(self._places) and (piece.file.path, piece.position) in self._places

    def missed(self, piece: Slice) -> None:
        """This read goes to a thread; so will the one that begins where it ends."""
        left = self._places.pop((piece.file.path, piece.position), _READS)
        if left > 0:
            if len(self._places) >= _READERS_MAX:
                self._places.pop(next(iter(self._places)))
            self._places[piece.file.path, piece.position + piece.count] = left - 1
