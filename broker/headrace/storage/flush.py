"""Making what a log held at one moment survive a power cut, off the event loop."""

import threading
from collections.abc import Sequence

from headrace.storage.disk import Disk, DiskFault, DiskFull, File
from headrace.storage.names import LEADER_EPOCHS, PARTITION_METADATA
from headrace.storage.segment import Segment


class Tenure:
    """Whether a log still has its folder: once it is closed, another may stand under its name.

    `lock` is held while the name is used in a thread, and by `end`.
    """

    __slots__ = ("lock", "over")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.over = False

    def end(self) -> None:
        """Nothing is written by the folder's name from now on. Waits for what is under way."""
        with self.lock:
            self.over = True


class Flush:
    """What `Log.begin_flush` took note of: `run` it in a thread, then hand it to `Log.flushed`.

    `offset` is the log end offset that it makes durable. With `checkpoint`, the indexes, the
    producer snapshot and the leader epochs come along, so that recovery may begin there.
    """

    __slots__ = ("_disk", "_files", "_folder", "_tenure", "checkpoint", "epochs", "folder_new",
                 "generation", "names_new", "offset", "unfinished", "unsynced")  # fmt: skip

    def __init__(
        self,
        disk: Disk,
        folder: str,
        files: list[File],
        tenure: Tenure,
        *,
        offset: int,
        unsynced: Sequence[Segment],
        unfinished: Sequence[Segment | File],
        generation: int,
        names_new: bool,
        folder_new: bool,
        checkpoint: bool,
        epochs: bytes | None,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._files = files
        self._tenure = tenure
        self.offset = offset
        self.unsynced = unsynced
        self.unfinished = unfinished
        self.generation = generation
        self.names_new = names_new
        self.folder_new = folder_new
        self.checkpoint = checkpoint
        self.epochs = epochs

    def run(self) -> None:
        """Sync. Blocks; safe in a thread beside appends. Raises DiskFault.

        Raises NoDescriptor where a name could not be synced: `Log.not_flushed` takes it back.
        Where there is no room for the epochs, `checkpoint` is taken back. Of a log that was
        closed meanwhile, as its topic was deleted, only the files that are open are synced.
        """
        for file in self._files:
            file.sync()
        with self._tenure.lock:
            if self._tenure.over:
                return
            try:
                self._finish_names()
            except FileNotFoundError as fault:
                raise DiskFault(f"{self._folder} is gone: somebody else removed it") from fault

    def _finish_names(self) -> None:
        if self.epochs is not None:
            self._write_epochs(self.epochs)
        elif self.names_new:
            self._disk.sync_dir(self._folder)
        if self.folder_new:
            self._sync_owner()
            self._disk.sync_dir(self._folder.rpartition("/")[0])

    def _sync_owner(self) -> None:
        """Whose the folder is: without that, a later topic of its name would take it over."""
        try:
            owner = self._disk.open(f"{self._folder}/{PARTITION_METADATA}")
        except FileNotFoundError:
            return  # A log on its own.
        owner.sync()
        owner.close()

    def _write_epochs(self, epochs: bytes) -> None:
        try:
            self._disk.write_atomically(f"{self._folder}/{LEADER_EPOCHS}", [epochs])
        except DiskFull:
            self.checkpoint = False
            self._disk.sync_dir(self._folder)
