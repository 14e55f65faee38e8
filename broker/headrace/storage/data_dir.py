"""A broker's data directory: whose it is, how it was left, and the partition folders in it.

Names and formats are Kafka 4.3's (meta.properties version 1, partition.metadata version 0,
.kafka_cleanshutdown as JSON, the offset checkpoints); `headrace.format` is ours, so that an older
Headrace never opens what a newer one wrote.
"""

import json
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final, Self
from uuid import UUID, uuid4

from headrace.storage.checkpoint import (
    CorruptCheckpoint,
    Offsets,
    read_offsets,
    write_offsets,
)
from headrace.storage.disk import Disk, DiskFull, Lock
from headrace.storage.names import PARTITION_METADATA, partition_of
from headrace.storage.open_segments import OpenSegments

FORMAT_VERSION: Final = 1
_FORMAT: Final = "headrace.format"
_LOCK: Final = ".lock"
_META: Final = "meta.properties"
_CLEAN: Final = ".kafka_cleanshutdown"
_RECOVERY_POINTS: Final = "recovery-point-offset-checkpoint"
_LOG_STARTS: Final = "log-start-offset-checkpoint"
CLEANED_TO: Final = "cleaner-offset-checkpoint"
_NAME_BYTES_MAX: Final = 255
_UNKNOWN_EPOCH: Final = -1


class DataDirError(Exception):
    """The directory cannot be this broker's; the message says why and what to do."""


class DataDir:
    """Open with `DataDir.open`, which locks it; `close` unlocks.

    `cluster_id` is None until the directory is claimed. `was_clean`: the last process closed
    every log; `clean_broker_epoch` is what it noted then, -1 where that is not known. `was_ours`: a
    Headrace broker has had it before, so its partitions were known to a metadata store.
    `open_segments` is the bound on descriptors that every log in here shares.
    """

    __slots__ = ("_lock", "_log_starts", "_meta", "_outdated", "_recovery_points", "_topic_ids",
                 "_writing", "clean_broker_epoch", "cluster_id", "directory_id", "disk", "node_id",
                 "open_segments", "path", "was_clean", "was_ours")  # fmt: skip

    def __init__(self, disk: Disk, path: str, node_id: int, lock: Lock) -> None:
        """For `open`."""
        self.disk = disk
        self.path = path
        self.node_id = node_id
        self.open_segments = OpenSegments()
        self._lock = lock
        self.cluster_id: str | None = None
        self.directory_id = ""
        self.was_clean = False
        self.was_ours = False
        self.clean_broker_epoch = _UNKNOWN_EPOCH
        self._recovery_points: dict[tuple[str, int], int] = {}
        self._log_starts: dict[tuple[str, int], int] = {}
        self._topic_ids: dict[tuple[str, int], UUID] = {}
        """Whose each partition's folder is: what is known of another topic's is not written."""
        self._outdated: set[tuple[str, int]] = set()
        """The files may have lines of these, of a folder that is no longer there."""
        self._writing = threading.Lock()

    @classmethod
    def open(
        cls, disk: Disk, path: str, *, node_id: int, new_id: Callable[[], UUID] = uuid4
    ) -> Self:
        """Make or open, lock and check the directory, and finish deletions under way.

        Raises DataDirError, DiskFull, DiskFault.
        """
        disk.make_dir(path)
        lock = disk.lock(f"{path}/{_LOCK}")
        if lock is None:
            raise DataDirError(
                f"{path} is in use by another broker: stop that one, or give this one a data "
                "folder of its own (log.dirs; dev: --data-dir)"
            )
        data_dir = cls(disk, path, node_id, lock)
        try:
            data_dir._check_format()
            data_dir._read_meta(new_id)
            data_dir._read_state()
            for name in disk.list(path):
                if name.endswith("-delete"):
                    disk.remove_tree(f"{path}/{name}")
            data_dir._forget_absent()
        except BaseException:
            lock.release()
            raise
        return data_dir

    def _check_format(self) -> None:
        path = f"{self.path}/{_FORMAT}"
        try:
            text = self.disk.read(path).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return
        self.was_ours = True
        version = text.removeprefix("version=")
        if not version.isdigit() or int(version) > FORMAT_VERSION:
            raise DataDirError(
                f"{self.path} was written by a newer Headrace ({_FORMAT} says {text!r}, this one "
                f"knows version {FORMAT_VERSION}): start the newer one again"
            )

    def _read_meta(self, new_id: Callable[[], UUID]) -> None:
        path = f"{self.path}/{_META}"
        try:
            meta = _properties(self.disk.read(path))
        except FileNotFoundError:
            self.directory_id = encode_uuid(new_id())
            return
        if meta.get("version") != "1":
            raise DataDirError(
                f"{path} has version {meta.get('version')}, only 1 is known: this directory "
                "belongs to another Kafka, give the broker a data folder of its own (log.dirs)"
            )
        owner = meta.get("node.id")
        if owner != str(self.node_id):
            raise DataDirError(
                f"{self.path} belongs to node {owner} and this is node {self.node_id} ({path}): "
                "start it with that node.id or with another data directory"
            )
        self.cluster_id = meta.get("cluster.id")
        self.directory_id = meta.get("directory.id") or encode_uuid(new_id())

    def _read_state(self) -> None:
        try:
            marker = self.disk.read(f"{self.path}/{_CLEAN}")
        except FileNotFoundError:
            pass
        else:
            self.was_clean = True
            self.clean_broker_epoch = _epoch_in(marker)
        try:
            self._recovery_points = read_offsets(self.disk, f"{self.path}/{_RECOVERY_POINTS}")
            self._log_starts = read_offsets(self.disk, f"{self.path}/{_LOG_STARTS}")
        except CorruptCheckpoint as error:
            raise DataDirError(
                f"{error}; remove it: without it recovery reads more (recovery-point) or deleted "
                "records of segments that still exist come back (log-start)"
            ) from error

    def claim(self, cluster_id: str) -> None:
        """The broker belongs to this cluster: so must the directory, or become so.

        Raises DataDirError where it is another's, DiskFull, DiskFault.
        """
        if self.cluster_id is not None and self.cluster_id != cluster_id:
            raise DataDirError(
                f"{self.path} belongs to cluster {self.cluster_id} and this broker joined "
                f"{cluster_id}: give it a data directory of its own"
            )
        self.cluster_id = cluster_id
        meta = {
            "cluster.id": cluster_id,
            "directory.id": self.directory_id,
            "node.id": str(self.node_id),
            "version": "1",
        }
        self._replace(_META, "".join(f"{key}={value}\n" for key, value in meta.items()))
        self._replace(_FORMAT, f"version={FORMAT_VERSION}\n")

    def _replace(self, name: str, text: str) -> None:
        """Write a small file unless that is in it already: a full disk then does not matter."""
        path, data = f"{self.path}/{name}", text.encode()
        try:
            known = _properties(self.disk.read(path)) == _properties(data)
        except FileNotFoundError:
            known = False
        if not known:
            self.disk.write_atomically(path, [data])

    def mark_running(self) -> None:
        """From now on only `mark_clean` makes the next start a clean one."""
        self.disk.remove(f"{self.path}/{_CLEAN}")
        self.disk.sync_dir(self.path)

    def mark_clean(self, broker_epoch: int = _UNKNOWN_EPOCH) -> None:
        """Every log was closed well. Raises DiskFull, DiskFault."""
        marker = json.dumps({"version": 0, "brokerEpoch": broker_epoch})
        self.disk.write_atomically(f"{self.path}/{_CLEAN}", [marker.encode()])

    def close(self) -> None:
        """Unlock."""
        self._lock.release()

    def recovery_point(self, topic: str, index: int) -> int:
        """Where recovery of this log begins, as the last process noted; 0 if it did not."""
        return self._recovery_points.get((topic, index), 0)

    def log_start_offset(self, topic: str, index: int) -> int:
        """Where this log starts, as the last process noted; 0 if it did not."""
        return self._log_starts.get((topic, index), 0)

    def write_checkpoints(self, recovery_points: Offsets, log_starts: Offsets) -> None:
        """Replace both checkpoint files; one that says this already is not written.

        As Kafka does, a log start is noted only where it is above 0. Raises DiskFull, DiskFault.
        """
        self.checkpoint(recovery_points, log_starts)()

    def checkpoint(self, recovery_points: Offsets, log_starts: Offsets) -> Callable[[], None]:
        """`write_checkpoints` for a thread: what is deleted until it runs is left out, also
        where a new topic of that name is there by then."""
        topic_ids = {key: self._topic_ids.get(key) for key in recovery_points}

        def current(offsets: Offsets) -> dict[tuple[str, int], int]:
            return {
                key: offset
                for key, offset in offsets.items()
                if self._topic_ids.get(key) == topic_ids.get(key)
            }

        def write() -> None:
            started = {key: offset for key, offset in log_starts.items() if offset > 0}
            with self._writing:
                self._write(_RECOVERY_POINTS, current(recovery_points))
                self._write(_LOG_STARTS, current(started))

        return write

    def cleaned_to(self) -> dict[tuple[str, int], int]:
        """How far each log is compacted. Raises CorruptCheckpoint, DiskFault."""
        return read_offsets(self.disk, f"{self.path}/{CLEANED_TO}")

    def write_cleaned_to(self, offsets: Offsets) -> None:
        """Replace the cleaner's checkpoint. Raises DiskFull, DiskFault."""
        with self._writing:
            self._write(CLEANED_TO, offsets)

    def _write(self, name: str, offsets: Offsets) -> None:
        """With `_writing` held. The file itself is asked what it says: nothing else knows."""
        path = f"{self.path}/{name}"
        try:
            known = read_offsets(self.disk, path)
        except CorruptCheckpoint:
            known = None
        if known != offsets:
            write_offsets(self.disk, path, offsets)

    def _drop_outdated(self) -> None:
        """Take lines out of the files whose folder is gone: a new topic must not inherit them.

        Raises DiskFull, DiskFault.
        """
        with self._writing:
            outdated = frozenset(self._outdated)
            if not outdated:
                return
            for name in (_RECOVERY_POINTS, _LOG_STARTS, CLEANED_TO):
                try:
                    offsets = read_offsets(self.disk, f"{self.path}/{name}")
                except CorruptCheckpoint:
                    continue  # nobody inherits from it
                kept = {key: at for key, at in offsets.items() if key not in outdated}
                self._write(name, kept)
            self._outdated -= outdated

    def partition_path(self, topic: str, index: int, topic_id: UUID) -> str:
        """The partition's folder, made with its partition.metadata if it is absent.

        Nothing is synced here: a topic of many partitions would stop the loop for as many syncs.
        The log's first flush makes the folder durable, before anything in it counts as such.
        A folder of that name with another topic's id is set aside first. A new folder begins
        with no offsets, and the checkpoint files lose those of an older one before it is made.
        """
        path, key = f"{self.path}/{topic}-{index}", (topic, index)
        found = self._topic_id_in(path)
        if found == topic_id:
            self._topic_ids[key] = topic_id
            return path
        if found is not None:
            self._set_aside(f"{topic}-{index}")
        if key in self._outdated:
            self._drop_outdated()
        self._topic_ids[key] = topic_id
        self.disk.make_dir(path, durable=False)
        text = f"version: 0\ntopic_id: {encode_uuid(topic_id)}"
        self.disk.write_atomically(f"{path}/{PARTITION_METADATA}", [text.encode()], durable=False)
        return path

    def _topic_id_in(self, path: str) -> UUID | None:
        """The topic id in a folder's partition.metadata; None where there is none to be read."""
        try:
            text = self.disk.read(f"{path}/{PARTITION_METADATA}").decode("ascii", "replace")
            fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            return decode_uuid(fields["topic_id"])
        except (FileNotFoundError, KeyError, ValueError):
            return None

    def partition_folders(self) -> list[str]:
        """The names of the partitions' folders that are here."""
        return [name for name in self.disk.list(self.path) if partition_of(name) is not None]

    def set_aside_strays(self, topic_ids: Collection[UUID]) -> list[str]:
        """Rename each partition's folder whose topic is not one of these; returns the new names.

        A folder without a readable topic id stays: `partition_path` adopts it by its name.
        """
        renamed = []
        for name in self.partition_folders():
            found = self._topic_id_in(f"{self.path}/{name}")
            if found is not None and found not in topic_ids:
                renamed.append(self._set_aside(name))
        return renamed

    def _set_aside(self, name: str) -> str:
        return self._rename(name, self._topic_id_in(f"{self.path}/{name}") or UUID(int=0), "stray")

    def retire_partition(self, topic: str, index: int, topic_id: UUID) -> str:
        """Rename a deleted partition's folder for `remove_retired`; returns its path.

        `sync_names` makes it durable. A restart finishes the deletion, and a new topic of that
        name begins with nothing.
        """
        name = f"{topic}-{index}"
        if not self.disk.exists(f"{self.path}/{name}"):
            return f"{self.path}/{name}.{topic_id.hex}-delete"
        return f"{self.path}/{self._rename(name, topic_id, 'delete')}"

    def _rename(self, name: str, topic_id: UUID, why: str) -> str:
        topic, index = partition_of(name) or (name, 0)
        self._forget((topic, index))
        suffix = f"-{index}.{topic_id.hex}-{why}"
        new = topic[: _NAME_BYTES_MAX - len(suffix)] + suffix
        self.disk.remove_tree(f"{self.path}/{new}")
        self.disk.rename(f"{self.path}/{name}", f"{self.path}/{new}")
        return new

    def _forget_absent(self) -> None:
        present = set(self.disk.list(self.path))
        for topic, index in {*self._recovery_points, *self._log_starts}:
            if f"{topic}-{index}" not in present:
                self._forget((topic, index))

    def _forget(self, key: tuple[str, int]) -> None:
        self._topic_ids.pop(key, None)
        self._recovery_points.pop(key, None)
        self._log_starts.pop(key, None)
        self._outdated.add(key)

    def sync_names(self) -> None:
        """Make renames of partitions' folders survive a power cut, and drop what the checkpoint
        files say of them; where there is no room, the next `partition_path` does.

        For a thread. Raises DiskFault.
        """
        self.disk.sync_dir(self.path)
        with suppress(DiskFull):
            self._drop_outdated()

    def remove_retired(self, path: str) -> None:
        """Remove what `retire_partition` renamed."""
        self.disk.remove_tree(path)


def encode_uuid(value: UUID) -> str:
    """Kafka's text of a UUID: URL-safe base 64, unpadded."""
    return urlsafe_b64encode(value.bytes).rstrip(b"=").decode()


def decode_uuid(text: str) -> UUID:
    """The UUID of Kafka's text. Raises ValueError."""
    return UUID(bytes=urlsafe_b64decode(text + "=="))


def _properties(data: bytes) -> dict[str, str]:
    """A Java properties file of plain keys and values; `\\` before a character is its escape."""
    lines = (line.strip() for line in data.decode("utf-8", "replace").splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and line[0] not in "#!")
    return {key.strip(): value.strip().replace("\\", "") for key, value in pairs}


def _epoch_in(marker: bytes) -> int:
    try:
        return int(json.loads(marker)["brokerEpoch"])
    except (ValueError, KeyError, TypeError):
        return _UNKNOWN_EPOCH
