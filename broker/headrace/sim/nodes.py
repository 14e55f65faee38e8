"""Files and directories of the simulated disk: what is in the cache, and what a cut leaves.

A node holds what reached the device and the changes since, in order. A power cut keeps of each
file a prefix of its unsynced writes, the last one perhaps torn at a sector, perhaps as zeros
where only the new size was written, perhaps with one sector missing before others that made it;
and of each directory a prefix of its unsynced changes of names. Files and directories are
independent of each other, as nothing but a sync orders them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

SECTOR_BYTES: Final = 512
"""The device writes a sector whole or not at all."""


class Write(NamedTuple):
    """An unsynced change of a file: `data` at `position`, or None to cut it there."""

    position: int
    data: bytes | None


class Survival(NamedTuple):
    """What a cut leaves of a file: `whole` writes, then `torn` bytes of the next one.

    `tail` says what the rest of that write became: absent, zeros up to its size, or written
    but for one sector of zeros at `torn`.
    """

    whole: int
    torn: int = 0
    tail: Literal["absent", "zeros", "hole"] = "absent"


class NameChange(NamedTuple):
    """An unsynced change of a directory: `new` names `node`, `old` names nothing any more."""

    old: str | None
    new: str | None
    node: "Node | None"


@dataclass(slots=True, eq=False)  # mutable: it is a file
class Inode:
    """A file."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    writes: list[Write] = field(default_factory=list)
    modified_ms: int = 0

    def write(self, position: int, data: bytes | None) -> None:
        """Change the cache; the device knows nothing of it before `sync`."""
        change = Write(position, data)
        _apply(self.data, change)
        self.writes.append(change)

    def sync(self) -> None:
        for change in self.writes:
            _apply(self.durable, change)
        self.writes.clear()

    def forget_unsynced(self) -> None:
        """A sync failed: the cache keeps the pages as if clean, the device never gets them."""
        self.writes.clear()

    def survivals(self) -> list[Survival]:
        """What may be left, from nothing of the unsynced to all of it."""
        choices = [Survival(0)]
        for index, (position, data) in enumerate(self.writes):
            for torn in () if data is None else _sector_cuts(position, len(data)):
                choices.append(Survival(index, torn))
                choices.append(Survival(index, torn, "zeros"))
                choices.append(Survival(index, torn, "hole"))
            choices.append(Survival(index + 1))
        return choices

    def after(self, left: Survival) -> "Inode":
        """The file as a reader finds it after the cut."""
        content = bytearray(self.durable)
        for change in self.writes[: left.whole]:
            _apply(content, change)
        if left.whole < len(self.writes) and (left.torn or left.tail != "absent"):
            position, data = self.writes[left.whole]
            if data is not None:
                _apply(content, Write(position, _torn(data, left)))
        return Inode(content, bytearray(content), [], self.modified_ms)


@dataclass(slots=True, eq=False)  # mutable: it is a directory
class Directory:
    """A directory."""

    names: "dict[str, Node]" = field(default_factory=dict)
    durable: "dict[str, Node]" = field(default_factory=dict)
    changes: list[NameChange] = field(default_factory=list)

    def change(self, old: str | None, new: str | None, node: "Node | None") -> None:
        """Change the cache; the device knows nothing of it before `sync`."""
        change = NameChange(old, new, node)
        _rename(self.names, change)
        self.changes.append(change)

    def sync(self) -> None:
        for change in self.changes:
            _rename(self.durable, change)
        self.changes.clear()

    def after(self, kept: int) -> "dict[str, Node]":
        """The names after a cut that kept the first `kept` unsynced changes."""
        names = dict(self.durable)
        for change in self.changes[:kept]:
            _rename(names, change)
        return names


Node = Inode | Directory


def walk(directory: Directory) -> Iterator[Node]:
    """Every node that a cut could leave reachable, in a fixed order, each once."""
    seen: set[int] = set()
    pending: list[Node] = [directory]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, Directory):
            pending += [*node.names.values(), *node.durable.values()]
            pending += [change.node for change in node.changes if change.node is not None]


def _apply(content: bytearray, change: Write) -> None:
    position, data = change
    if len(content) < position:
        content.extend(bytes(position - len(content)))
    if data is None:
        del content[position:]
    else:
        content[position : position + len(data)] = data


def _rename(names: dict[str, Node], change: NameChange) -> None:
    if change.old is not None:
        names.pop(change.old, None)
    if change.new is not None and change.node is not None:
        names[change.new] = change.node


def _torn(data: bytes, left: Survival) -> bytes:
    kept = data[: left.torn]
    if left.tail == "zeros":
        return kept + bytes(len(data) - len(kept))
    if left.tail == "hole":
        return kept + bytes(min(SECTOR_BYTES, len(data) - left.torn)) + data[left.torn + 512 :]
    return kept


def _sector_cuts(position: int, count: int) -> list[int]:
    """Where a write may tear, in bytes from its start: at its first, a middle and last sector."""
    first = -position % SECTOR_BYTES
    cuts = list(range(first, count, SECTOR_BYTES))
    return sorted({0, *(cuts if len(cuts) <= 3 else (cuts[0], cuts[len(cuts) // 2], cuts[-1]))})
