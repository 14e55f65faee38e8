"""The text files at the top of a data directory that hold one offset a partition.

Version 0, the number of lines, then `topic partition offset` a line.
"""

from collections.abc import Mapping

from headrace.storage.disk import Disk

Offsets = Mapping[tuple[str, int], int]


class CorruptCheckpoint(Exception):
    """The file is not such a checkpoint."""


def read_offsets(disk: Disk, path: str) -> dict[tuple[str, int], int]:
    """Offsets by (topic, partition); none where there is no file. Raises CorruptCheckpoint."""
    try:
        text = disk.read(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    if not text:
        return {}
    try:
        version, count, *lines = text.splitlines()
        if int(version) != 0 or int(count) != len(lines):
            raise ValueError(f"version {version}, {count} lines announced, {len(lines)} there")
        rows = (line.rsplit(" ", 2) for line in lines)
        return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}
    except ValueError as error:
        raise CorruptCheckpoint(f"{path} is not an offset checkpoint: {error}") from error


def write_offsets(disk: Disk, path: str, offsets: Offsets) -> None:
    """Replace the file. Raises DiskFull, with the old one in place."""
    lines = ["0", str(len(offsets))]
    lines += [f"{topic} {index} {offset}" for (topic, index), offset in sorted(offsets.items())]
    disk.write_atomically(path, [("\n".join(lines) + "\n").encode()])
