"""The Disk port in memory, with crashes: it passes the contract test of the real one.

`kill` is the end of the process: the page cache survives. `cuts` are the disks that a power cut
at this moment could leave: all of them where they are few, a seeded sample where they are many.
Errors are armed with `fail`, a full disk with `capacity_bytes`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import NamedTuple

from typing_extensions import Buffer

from headrace.base.invariant import invariant
from headrace.sim.nodes import Directory, Inode, Node, Survival, walk
from headrace.storage.disk import DiskFault, DiskFull, FileStat


class Operation(NamedTuple):
    """One call that changes the disk or makes changes durable."""

    kind: str
    path: str
    position: int = 0
    bytes_count: int = 0


class SimFile:
    """An open file; it outlives its name, as on a real file system."""

    __slots__ = ("_disk", "_inode", "_open", "path", "size")

    def __init__(self, disk: "SimDisk", path: str, inode: Inode) -> None:
        self.path = path
        self.size = len(inode.data)
        self._disk = disk
        self._inode = inode
        self._open = True

    def append(self, data: Buffer) -> None:
        count = memoryview(data).nbytes
        position = len(self._inode.data)
        self._begin("append", position, count)
        self._disk.claim(count, self.path)
        self._inode.write(position, bytes(memoryview(data).cast("B")))
        self._done("append", position, count)

    def pread(self, count: int, position: int) -> bytes:
        self._begin("pread", position, count)
        return bytes(self._inode.data[position : position + count])

    def pread_nowait(self, count: int, position: int) -> bytearray | None:
        return bytearray(self.pread(max(0, min(count, self.size - position)), position))

    def resident(self, count: int, position: int) -> bool:
        return True

    def warm(self, count: int, position: int) -> None:
        self.pread(count, position)

    def truncate(self, size: int) -> None:
        self._begin("truncate", size)
        self._inode.write(size, None)
        self._done("truncate", size)

    def sync(self) -> None:
        try:
            self._begin("sync")
        except DiskFault:
            self._inode.forget_unsynced()
            raise
        if not self._disk.ignores("sync", self.path):
            self._inode.sync()
        self._disk.happened(Operation("sync", self.path))

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self._open = False

    def _begin(self, kind: str, position: int = 0, count: int = 0) -> None:
        invariant(self._open, "a closed file is used", path=self.path, kind=kind)
        self._disk.check_fault(kind, self.path)

    def _done(self, kind: str, position: int, count: int = 0) -> None:
        self.size = len(self._inode.data)
        self._inode.modified_ms = self._disk.now_ms
        self._disk.happened(Operation(kind, self.path, position, count))


@dataclass(slots=True)  # mutable: it counts down
class _Armed:
    kind: str
    path_part: str
    times: int
    fault: type[DiskFault | DiskFull]


class SimLock:
    """A lock that is held on a simulated disk."""

    def __init__(self, locks: set[str], path: str) -> None:
        self._locks = locks
        self._path = path

    def release(self) -> None:
        self._locks.discard(self._path)


class SimDisk:
    """A file system in memory."""

    def __init__(self, root: Directory | None = None) -> None:
        self._root = root or Directory()
        self._locks: set[str] = set()
        self._faults: list[_Armed] = []
        self.now_ms = 0
        """Stamped on files that are written."""
        self.capacity_bytes: int | None = None
        self.ignores: Callable[[str, str], bool] = _ignores_nothing
        """Whether a sync or sync_dir of this path does nothing: how a missing one is planted."""
        self.watch: Callable[[Operation], None] | None = None
        """Called after each operation that changed something: the moments to crash at."""
        self.operations = 0

    # The port.

    def open(self, path: str, *, create: bool = False) -> SimFile:
        self.check_fault("open", path)
        parent, name = self._parent(path)
        node = parent.names.get(name)
        if node is None:
            if not create:
                raise FileNotFoundError(path)
            node = Inode(modified_ms=self.now_ms)
            parent.change(None, name, node)
            self.happened(Operation("create", path))
        if not isinstance(node, Inode):
            raise DiskFault(f"cannot open {path}: it is a directory")
        return SimFile(self, path, node)

    def read(self, path: str) -> bytes:
        self.check_fault("read", path)
        return bytes(self._inode(path).data)

    def write_atomically(self, path: str, parts: Sequence[Buffer], *, durable: bool = True) -> None:
        beside = path + ".tmp"
        self.remove(beside)
        file = self.open(beside, create=True)
        try:
            for part in parts:
                file.append(part)
            if durable:
                file.sync()
        except DiskFull:
            self.remove(beside)
            raise
        self.rename(beside, path)
        if durable:
            self.sync_dir(path.rpartition("/")[0] or "/")

    def list(self, path: str) -> list[str]:
        return sorted(self._directory(path).names)

    def exists(self, path: str) -> bool:
        try:
            self._find(path)
        except FileNotFoundError:
            return False
        return True

    def stat(self, path: str) -> FileStat:
        node = self._find(path)
        if isinstance(node, Directory):
            return FileStat(0, 0)
        return FileStat(len(node.data), node.modified_ms)

    def make_dir(self, path: str, *, durable: bool = True) -> None:
        if self.exists(path):
            return
        parent = path.rpartition("/")[0] or "/"
        self.make_dir(parent, durable=durable)
        self.check_fault("make_dir", path)
        self._directory(parent).change(None, path.rpartition("/")[2], Directory())
        self.happened(Operation("make_dir", path))
        if durable:
            self.sync_dir(parent)

    def rename(self, old: str, new: str) -> None:
        self.check_fault("rename", old)
        parent, old_name = self._parent(old)
        new_parent, new_name = self._parent(new)
        invariant(parent is new_parent, "a rename between directories is not modelled", old=old)
        node = self._find(old)
        parent.change(old_name, new_name, node)
        self.happened(Operation("rename", f"{old} -> {new}"))

    def remove(self, path: str) -> None:
        self.check_fault("remove", path)
        try:
            parent, name = self._parent(path)
        except FileNotFoundError:
            return
        node = parent.names.get(name)
        if node is None:
            return
        if isinstance(node, Directory):
            raise DiskFault(f"cannot remove {path}: it is a directory")
        parent.change(name, None, None)
        self.happened(Operation("remove", path))

    def remove_tree(self, path: str) -> None:
        try:
            node = self._find(path)
        except FileNotFoundError:
            return
        if isinstance(node, Inode):
            raise DiskFault(f"cannot remove {path}: it is not a directory")
        for name in sorted(node.names):
            if isinstance(node.names[name], Directory):
                self.remove_tree(f"{path}/{name}")
            else:
                self.remove(f"{path}/{name}")
        self.check_fault("remove_tree", path)
        parent, name = self._parent(path)
        parent.change(name, None, None)
        self.happened(Operation("remove_tree", path))

    def sync_dir(self, path: str) -> None:
        self.check_fault("sync_dir", path)
        if not self.ignores("sync_dir", path):
            self._directory(path).sync()
        self.happened(Operation("sync_dir", path))

    def lock(self, path: str) -> SimLock | None:
        if path in self._locks:
            return None
        self.open(path, create=True)
        self._locks.add(path)
        return SimLock(self._locks, path)

    def free_bytes(self, path: str) -> int:
        if self.capacity_bytes is None:
            return 1 << 50
        return max(0, self.capacity_bytes - self.used_bytes())

    # What a simulation does to it.

    def fail(
        self,
        kind: str,
        path_part: str,
        times: int = 1,
        fault: type[DiskFault | DiskFull] = DiskFault,
    ) -> None:
        """The next `times` operations of `kind` on a path with `path_part` raise `fault`."""
        self._faults.append(_Armed(kind, path_part, times, fault))

    def kill(self) -> "SimDisk":
        """The disk as the next process finds it: all that was written, synced or not."""
        return self._copy({}, {}, keep_unsynced=True)

    def cuts(self, rng: random.Random, most: int) -> "Iterator[SimDisk]":
        """Disks that a power cut may leave: all if at most `most`, else a sample with extremes."""
        nodes = [node for node in walk(self._root) if _dirty(node)]
        choices = [_choices(node) for node in nodes]
        if prod(len(options) for options in choices) <= most:
            picks: Iterator[tuple[Survival | int, ...]] = product(*choices)
        else:
            picks = _sample(choices, rng, most)
        for pick in picks:
            files: dict[int, Survival] = {}
            kept: dict[int, int] = {}
            for node, choice in zip(nodes, pick, strict=True):
                if isinstance(choice, Survival):
                    files[id(node)] = choice
                else:
                    kept[id(node)] = choice
            yield self._copy(files, kept, keep_unsynced=False)

    def happened(self, operation: Operation) -> None:
        """Count an operation and let the simulation look."""
        self.operations += 1
        if self.watch is not None:
            self.watch(operation)

    def check_fault(self, kind: str, path: str) -> None:
        """Raise the fault that is armed for this operation."""
        for armed in self._faults:
            if armed.kind == kind and armed.path_part in path and armed.times > 0:
                armed.times -= 1
                raise armed.fault(f"cannot {kind} {path}: a simulated I/O error")

    def claim(self, count: int, path: str) -> None:
        """Raise DiskFull unless there is room for `count` more bytes."""
        if self.capacity_bytes is not None and self.used_bytes() + count > self.capacity_bytes:
            raise DiskFull(f"no room left to append to {path}: the simulated disk is full")

    def used_bytes(self) -> int:
        """Bytes of all files that have a name."""
        return sum(len(n.data) for n in _reachable(self._root) if isinstance(n, Inode))

    def _copy(
        self, files: dict[int, Survival], kept: dict[int, int], *, keep_unsynced: bool
    ) -> "SimDisk":
        copies: dict[int, Node] = {}

        def copy(node: Node) -> Node:
            known = copies.get(id(node))
            if known is not None:
                return known
            if isinstance(node, Inode):
                if keep_unsynced:
                    made = Inode(
                        bytearray(node.data),
                        bytearray(node.durable),
                        list(node.writes),
                        node.modified_ms,
                    )
                else:
                    made = node.after(files.get(id(node), Survival(len(node.writes))))
                copies[id(node)] = made
                return made
            folder = copies[id(node)] = Directory()
            if keep_unsynced:
                folder.names = {name: copy(child) for name, child in node.names.items()}
                folder.durable = {name: copy(child) for name, child in node.durable.items()}
                folder.changes = [
                    change._replace(node=None if change.node is None else copy(change.node))
                    for change in node.changes
                ]
            else:
                names = node.after(kept.get(id(node), 0))
                folder.names = {name: copy(child) for name, child in names.items()}
                folder.durable = dict(folder.names)
            return folder

        root = copy(self._root)
        invariant(isinstance(root, Directory), "the root is a directory")
        disk = SimDisk(root if isinstance(root, Directory) else None)
        disk.now_ms = self.now_ms
        disk.ignores = self.ignores
        return disk

    def _find(self, path: str) -> Node:
        node: Node = self._root
        for name in path.strip("/").split("/"):
            if not name:
                continue
            child = node.names.get(name) if isinstance(node, Directory) else None
            if child is None:
                raise FileNotFoundError(path)
            node = child
        return node

    def _inode(self, path: str) -> Inode:
        node = self._find(path)
        if not isinstance(node, Inode):
            raise DiskFault(f"cannot read {path}: it is a directory")
        return node

    def _directory(self, path: str) -> Directory:
        node = self._find(path)
        if not isinstance(node, Directory):
            raise DiskFault(f"{path} is not a directory")
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        folder, _, name = path.rpartition("/")
        return self._directory(folder or "/"), name


def _ignores_nothing(kind: str, path: str) -> bool:
    return False


def _dirty(node: Node) -> bool:
    return bool(node.writes if isinstance(node, Inode) else node.changes)


def _choices(node: Node) -> Sequence[Survival | int]:
    if isinstance(node, Inode):
        return node.survivals()
    return range(len(node.changes) + 1)


def _sample(
    choices: list[Sequence[Survival | int]], rng: random.Random, most: int
) -> Iterator[tuple[Survival | int, ...]]:
    """Nothing survived, everything did, and in between a seeded choice for each node."""
    yield tuple(options[0] for options in choices)
    yield tuple(options[-1] for options in choices)
    for _ in range(most - 2):
        # Extremes are likelier than a uniform choice makes them: lost names are where bugs are.
        yield tuple(
            rng.choice((options[0], options[-1], rng.choice(options), rng.choice(options)))
            for options in choices
        )


def _reachable(directory: Directory) -> Iterator[Node]:
    for node in directory.names.values():
        yield node
        if isinstance(node, Directory):
            yield from _reachable(node)
