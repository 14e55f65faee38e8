"""Making what a log held at one moment survive a power cut, off the event loop."""

from collections.abc import Sequence

from headrace.storage.disk import Disk, DiskFull, File
from headrace.storage.names import LEADER_EPOCHS
from headrace.storage.segment import Segment


class Flush:
    """What `Log.begin_flush` took note of: `run` it in a thread, then hand it to `Log.flushed`.

    `offset` is the log end offset that it makes durable. With `checkpoint`, the indexes, the
    producer snapshot and the leader epochs come along, so that recovery may begin there.
    """

    __slots__ = ("_disk", "_files", "_folder", "checkpoint", "epochs", "folder_new", "generation",
                 "names_new", "offset", "unfinished", "unsynced")  # fmt: skip

    def __init__(
        self,
        disk: Disk,
        folder: str,
        files: list[File],
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

        Where there is no room for the epochs, `checkpoint` is taken back.
        """
        for file in self._files:
            file.sync()
        try:
            if self.epochs is not None:
                self._write_epochs(self.epochs)
            elif self.names_new:
                self._disk.sync_dir(self._folder)
            if self.folder_new:
                self._disk.sync_dir(self._folder.rpartition("/")[0])
        except FileNotFoundError:
            # The partition was deleted meanwhile and its folder renamed: nothing is left to do.
            if self._disk.exists(self._folder):
                raise

    def _write_epochs(self, epochs: bytes) -> None:
        try:
            self._disk.write_atomically(f"{self._folder}/{LEADER_EPOCHS}", [epochs])
        except DiskFull:
            self.checkpoint = False
            self._disk.sync_dir(self._folder)
