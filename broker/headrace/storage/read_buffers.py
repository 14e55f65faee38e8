"""Buffers for large reads, used again once nobody refers to them any more.

A fresh 1 MiB buffer costs as much as the read that fills it: it is zeroed, and each of its 256
pages is faulted in and given back. The event loop keeps a view of a buffer until its last byte
is sent, and that reference is the only bookkeeping: CPython's reference count says who is free.
"""

import sys
from typing import Final

BUFFER_BYTES: Final = 1 << 20
"""As much as a consumer asks of one partition by default (max.partition.fetch.bytes)."""
_SMALLEST: Final = 32 * 1024
_BUFFERS_MAX: Final = 16
"""16 MiB stay with the process after a load; more readers at once get fresh buffers."""
_FREE: Final = 3
"""References to a free buffer while it is looked at: the list's, the loop's, the call's."""


class ReadBuffers:
    """For one thread."""

    __slots__ = ("_buffers",)

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []

    def take(self, count: int) -> memoryview:
        """A buffer of `count` bytes; what stands in it is old, so fill all of it."""
        if not _SMALLEST <= count <= BUFFER_BYTES:
            return memoryview(bytearray(count))
        for buffer in self._buffers:
            if sys.getrefcount(buffer) == _FREE:
                return memoryview(buffer)[:count]
        buffer = bytearray(BUFFER_BYTES)
        if len(self._buffers) < _BUFFERS_MAX:
            self._buffers.append(buffer)
        return memoryview(buffer)[:count]
