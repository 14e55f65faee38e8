"""Room kept back for the day the disk is full, so that deleting still works.

Deleting a topic needs a little room itself (the metadata store commits, a folder is renamed).
A file of zeros stands in the data folder; when a write finds no room it is given up, and taken
back once there is room again. Until then partitions refuse writes and everything else goes on.
"""

import asyncio
import errno
import os
from typing import Protocol

import structlog

log = structlog.get_logger("headrace.log")

RESERVE_BYTES = 16 * 1024 * 1024
_RESUME_BYTES = 2 * RESERVE_BYTES
_NAME = "reserve"


class Room(Protocol):
    """What those who write need to know: whether there is room."""

    @property
    def full(self) -> bool:
        """Everybody's writes are refused."""
        ...

    def no_room(self) -> None:
        """A write found none: everybody's are refused until there is some."""
        ...


class DiskReserve:
    """One a data folder; the one place that knows whether there is room in it."""

    def __init__(self, folder: str, retry_ms: int) -> None:
        self._folder = folder
        self._path = os.path.join(folder, _NAME)
        self._retry_s = retry_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.full = False

    def keep(self) -> bool:
        """Set the room aside; False where there is not enough."""
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EOPNOTSUPP,
                                   errno.EMFILE, errno.ENFILE):  # fmt: skip
                raise
            self.give_up()
            return False
        return True

    def give_up(self) -> None:
        """Return the room to the file system."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass

    def no_room(self) -> None:
        """A write found none: free the reserve and look for room from now on."""
        if self.full:
            return
        self.full = True
        self.give_up()
        log.error("the disk is full: writes are refused until there is room", folder=self._folder)
        self._look_again()

    def _look_again(self) -> None:
        self._timer = self._loop.call_later(self._retry_s, self._look)

    def _look(self) -> None:
        stat = os.statvfs(self._folder)
        if stat.f_bavail * stat.f_frsize >= _RESUME_BYTES and self.keep():
            self.full = False
            log.info("there is room again: writes are accepted", folder=self._folder)
        else:
            self._look_again()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
