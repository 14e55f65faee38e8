"""The disk as the log sees it: a port with a real adapter (os_disk) and a simulated one (sim).

Both pass one contract test. Every call is synchronous. Calls that may block for long (`sync`,
a cold `pread`) release the GIL for their whole length, so the shell may run them in a thread.

What a crash leaves is the port's contract: bytes appended and not synced may be lost or torn;
a rename, creation or removal is lost unless its directory was synced; after a failed sync
nothing is known about any unsynced byte of that file, so the caller takes the disk offline.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from typing_extensions import Buffer


class DiskFull(Exception):
    """No room (ENOSPC, EDQUOT, or RLIMIT_FSIZE). The file is as it was before the call."""


class NoDescriptor(DiskFull):
    """The process has no file descriptor left (EMFILE), or the machine (ENFILE). The disk is as
    good as ever; as with no room, the call did nothing and is tried again later."""


class DiskFault(Exception):
    """Any other error of the disk. What was written is unknown: the log dir goes offline."""


class Damaged(DiskFault):
    """A file's content is not what was written, but the disk works: only who reads there is told.
    The partition stays online."""


class NotInMemory(Exception):
    """What an impatient reader wants is on the device: `file.warm(count, position)` in a thread,
    then ask again."""

    def __init__(self, file: "File", count: int, position: int) -> None:
        super().__init__(f"{file.path} at {position} is not in memory")
        self.file, self.count, self.position = file, count, position


class FileStat(NamedTuple):
    """What a directory knows of a file."""

    size: int
    modified_ms: int


class File(Protocol):
    """An open file. `size` is kept by the adapter; a fresh open reads it from the disk."""

    path: str
    size: int

    def append(self, data: Buffer) -> None:
        """Write all of `data` at the end. Raises DiskFull (nothing written) or DiskFault."""
        ...

    def pread(self, count: int, position: int) -> bytes:
        """Up to `count` bytes at `position`; fewer only at the end of the file."""
        ...

    def pread_nowait(self, count: int, position: int) -> bytes | bytearray | None:
        """As pread from the page cache alone; None where that would touch the device."""
        ...

    def resident(self, count: int, position: int) -> bool:
        """Whether this range can most likely be sent without touching the device."""
        ...

    def warm(self, count: int, position: int) -> None:
        """Bring a range into the page cache, and ask for what comes after it; blocks. Raises
        DiskFault."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        ...

    def sync(self) -> None:
        """Make every byte written so far survive a power cut (fdatasync). Raises DiskFault."""
        ...

    def fileno(self) -> int:
        """The descriptor, for sendfile."""
        ...

    def close(self) -> None:
        """Close; idempotent."""
        ...


Read = Callable[[File, int, int], bytes | bytearray]
"""How to read `count` bytes of a file at a position: by waiting for the device, or not."""


def read_patiently(file: File, count: int, position: int) -> bytes | bytearray:
    """As `pread`."""
    return file.pread(count, position)


def read_now(file: File, count: int, position: int) -> bytes | bytearray:
    """From memory alone, for the event loop. Raises NotInMemory."""
    data = file.pread_nowait(count, position)
    if data is None:
        raise NotInMemory(file, count, position)
    return data


class Lock(Protocol):
    """A lock that is held; the system releases it when the process dies."""

    def release(self) -> None:
        """Let go; idempotent."""
        ...


class Disk(Protocol):
    """Paths are absolute, with "/" between names."""

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and appending. Raises FileNotFoundError unless `create`."""
        ...

    def read(self, path: str) -> bytes:
        """A whole small file (checkpoint, snapshot). Raises FileNotFoundError."""
        ...

    def write_atomically(self, path: str, parts: Sequence[Buffer], *, durable: bool = True) -> None:
        """Replace a small file: write beside it, sync, rename, sync the directory.

        Not `durable` leaves out both syncs: a process that is killed leaves the old file or the
        new one, a power cut may leave anything.
        """
        ...

    def list(self, path: str) -> list[str]:
        """The names in a directory, sorted. Raises FileNotFoundError."""
        ...

    def exists(self, path: str) -> bool: ...

    def stat(self, path: str) -> FileStat:
        """Size and time of the last write, without opening. Raises FileNotFoundError."""
        ...

    def make_dir(self, path: str, *, durable: bool = True) -> None:
        """Create a directory and its parents; `durable` syncs the directories that hold them."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename; survives a crash only after sync_dir of the parent."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; absent is fine. Survives a crash only after sync_dir."""
        ...

    def remove_tree(self, path: str) -> None:
        """Remove a directory and all in it; absent is fine."""
        ...

    def sync_dir(self, path: str) -> None:
        """Make creations, renames and removals in this directory survive a power cut."""
        ...

    def lock(self, path: str) -> Lock | None:
        """Lock the file, created if absent, for this process; None while another holds it."""
        ...

    def free_bytes(self, path: str) -> int:
        """Room left for us on the file system that holds `path`."""
        ...
