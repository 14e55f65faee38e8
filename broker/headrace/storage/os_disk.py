"""The Disk port on a real file system.

Every `OSError` becomes one of the port's faults here and nowhere else. A file closes its
descriptor when the last reference goes, so a slice that is still being sent keeps a segment
readable after the log let go of it, and a descriptor number is never reused under a reader.
"""

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from typing_extensions import Buffer

from headrace.storage.disk import DiskFault, DiskFull, FileStat, NoDescriptor

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})
_NO_RIGHT: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_NOWAIT: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL})
_RWF_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)
_CREATE_MODE: Final = 0o644
_WARM_BYTES: Final = 256 * 1024
"""A thread's buffer for bytes that nobody looks at."""
_PROBE: Final = [bytearray(1)]
_PROBE_EVERY_BYTES: Final = 128 * 1024
"""As far as Linux reads ahead by default: what is in memory comes in such pieces."""


def _translated(error: OSError, action: str, path: str) -> DiskFull | DiskFault:
    if error.errno in _NO_ROOM:
        return DiskFull(f"no room left to {action} {path}: free space on its file system")
    if error.errno in _NO_DESCRIPTOR:
        return _no_descriptor(action, path)
    cure = (
        "give the broker's user the right to it" if error.errno in _NO_RIGHT else "check the disk"
    )
    return DiskFault(f"cannot {action} {path}: {error.strerror or error}; {cure}")


def _no_descriptor(action: str, path: str) -> NoDescriptor:
    return NoDescriptor(
        f"no file descriptor left to {action} {path}: raise the limit of open files (ulimit -n)"
    )


@contextmanager
def _translating(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _translated(error, action, path) from error


class OsFile:
    """A descriptor opened for reading and appending, and the size that we know it has."""

    __slots__ = ("_fd", "_nowait", "path", "size")

    def __init__(self, path: str, fd: int, size: int) -> None:
        self.path = path
        self.size = size
        self._fd = fd
        self._nowait = _RWF_NOWAIT != 0

    def append(self, data: Buffer) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            self._cut_back(error)
        if written != (count := memoryview(data).nbytes):
            self._append_rest(data, written)
        self.size += count

    def _append_rest(self, data: Buffer, written: int) -> None:
        """The kernel took only a part: nearly no room, or more than 2 GiB at once."""
        view = memoryview(data).cast("B")
        while written < view.nbytes:
            try:
                written += os.write(self._fd, view[written:])
            except OSError as error:
                self._cut_back(error)

    def _cut_back(self, error: OSError) -> None:
        """Leave the file as it was before the append, or say that nothing is known of it."""
        with _translating("cut back a failed append to", self.path):
            os.ftruncate(self._fd, self.size)
        raise _translated(error, "append to", self.path) from error

    def pread(self, count: int, position: int) -> bytes:
        with _translating("read", self.path):
            data = os.pread(self._fd, count, position)
            if len(data) == count or not data or position + len(data) >= self.size:
                return data
            parts = [data]
            position += len(data)
            count -= len(data)
            while count and (data := os.pread(self._fd, count, position)):
                parts.append(data)
                position += len(data)
                count -= len(data)
            return b"".join(parts)

    def pread_nowait(self, count: int, position: int) -> bytearray | None:
        buffer = bytearray(max(0, min(count, self.size - position)))
        if not buffer:
            return buffer
        try:
            got = os.preadv(self._fd, [buffer], position, _RWF_NOWAIT if self._nowait else 0)
        except BlockingIOError:
            return None
        except OSError as error:
            if self._nowait and error.errno in _NO_NOWAIT:
                self._nowait = False  # this file system cannot say: a plain read is all there is
                return self.pread_nowait(count, position)
            raise _translated(error, "read", self.path) from error
        return buffer if got == len(buffer) else None

    def resident(self, count: int, position: int) -> bool:
        if not self._nowait:
            return True
        end = position + count
        try:
            return all(
                os.preadv(self._fd, _PROBE, place, _RWF_NOWAIT)
                for place in (*range(position, end - 1, _PROBE_EVERY_BYTES), end - 1)
            )
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NO_NOWAIT:
                self._nowait = False
                return True
            raise _translated(error, "read", self.path) from error

    def warm(self, count: int, position: int) -> None:
        buffer = memoryview(bytearray(min(count, _WARM_BYTES)))
        end = position + count
        with _translating("read", self.path):
            while position < end:
                got = os.preadv(self._fd, [buffer[: end - position]], position)
                if not got:
                    return
                position += got
            # Else the next look for a batch's boundary waits for the device, on the loop.
            os.posix_fadvise(self._fd, end, count + _WARM_BYTES, os.POSIX_FADV_WILLNEED)

    def truncate(self, size: int) -> None:
        with _translating("truncate", self.path):
            os.ftruncate(self._fd, size)
        self.size = size

    def sync(self) -> None:
        with _translating("sync", self.path):
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                # Even for want of room: after a failed sync nothing is known of the file.
                raise DiskFault(f"cannot sync {self.path}: {error.strerror}") from error

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class OsLock:
    """An flock; it goes with the process, however that ends."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class OsDisk:
    """The Disk port. Files are opened with descriptors below `descriptors`; what is beyond is
    for what is open only within a call."""

    __slots__ = ("_descriptors",)

    def __init__(self, descriptors: int = sys.maxsize) -> None:
        self._descriptors = descriptors

    def open(self, path: str, *, create: bool = False) -> OsFile:
        file = self._open(path, create=create)
        if file.fileno() >= self._descriptors:
            file.close()
            raise _no_descriptor("open", path)
        return file

    def _open(self, path: str, *, create: bool) -> OsFile:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        with _translating("open", path):
            fd = os.open(path, flags, _CREATE_MODE)
            return OsFile(path, fd, os.fstat(fd).st_size)

    def read(self, path: str) -> bytes:
        with _translating("read", path), open(path, "rb") as file:
            return file.read()

    def write_atomically(self, path: str, parts: Sequence[Buffer], *, durable: bool = True) -> None:
        beside = path + ".tmp"
        self.remove(beside)
        file = self._open(beside, create=True)
        try:
            for part in parts:
                file.append(part)
            if durable:
                file.sync()
        except DiskFull:
            self.remove(beside)
            raise
        finally:
            file.close()
        self.rename(beside, path)
        if durable:
            self.sync_dir(os.path.dirname(path))

    def list(self, path: str) -> list[str]:
        with _translating("list", path):
            return sorted(os.listdir(path))

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def stat(self, path: str) -> FileStat:
        with _translating("look at", path):
            found = os.stat(path)
        return FileStat(found.st_size, found.st_mtime_ns // 1_000_000)

    def make_dir(self, path: str, *, durable: bool = True) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        if parent != path:
            self.make_dir(parent, durable=durable)
        with _translating("make the directory", path):
            os.mkdir(path)
        if durable:
            self.sync_dir(parent)

    def rename(self, old: str, new: str) -> None:
        with _translating("rename", old):
            os.rename(old, new)

    def remove(self, path: str) -> None:
        with _translating("remove", path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def remove_tree(self, path: str) -> None:
        with _translating("remove", path):
            try:
                shutil.rmtree(path)
            except FileNotFoundError:
                pass

    def sync_dir(self, path: str) -> None:
        with _translating("sync the directory", path):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def lock(self, path: str) -> OsLock | None:
        with _translating("lock", path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _CREATE_MODE)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kind a JVM takes
            except (BlockingIOError, PermissionError):
                os.close(fd)
                return None
            return OsLock(fd)

    def free_bytes(self, path: str) -> int:
        with _translating("look at the file system of", path):
            found = os.statvfs(path)
        return found.f_bavail * found.f_frsize
