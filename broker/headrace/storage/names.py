"""The names of files and folders in a data directory, Kafka's all of them."""

from typing import Final

LOG: Final = ".log"
INDEX: Final = ".index"
TIME_INDEX: Final = ".timeindex"
TXN_INDEX: Final = ".txnindex"
SNAPSHOT: Final = ".snapshot"

DELETED: Final = ".deleted"
CLEANED: Final = ".cleaned"
SWAP: Final = ".swap"

SEGMENT_SUFFIXES: Final = (LOG, INDEX, TIME_INDEX, TXN_INDEX)
LEADER_EPOCHS: Final = "leader-epoch-checkpoint"
PARTITION_METADATA: Final = "partition.metadata"

_DIGITS: Final = 20


def file_name(offset: int, suffix: str) -> str:
    """The name of the file of this kind that begins at `offset`."""
    return f"{offset:020d}{suffix}"


def offset_of(name: str, suffix: str) -> int | None:
    """The offset in a name that `file_name` made with this suffix; None for any other name."""
    if len(name) != _DIGITS + len(suffix) or not name.endswith(suffix):
        return None
    digits = name[:_DIGITS]
    return int(digits) if digits.isdigit() and digits.isascii() else None


def partition_of(folder: str) -> tuple[str, int] | None:
    """Topic and partition of a folder's name; None where it is no partition's."""
    topic, dash, index = folder.rpartition("-")
    if not (dash and topic and index.isdigit() and index.isascii()):
        return None
    return topic, int(index)
