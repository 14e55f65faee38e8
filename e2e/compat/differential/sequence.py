"""A named request sequence, and the collection of those written by hand."""

from collections.abc import Callable
from dataclasses import dataclass

from e2e.compat.differential.peer import Peer

Play = Callable[[Peer], None]


@dataclass(frozen=True, slots=True)
class Sequence:
    """What is played to both brokers under one name."""

    name: str
    play: Play


WRITTEN: list[Sequence] = []


def sequence(play: Play) -> Play:
    """Collect a hand-written sequence; its name is module and function."""
    module = play.__module__.rpartition(".")[2]
    WRITTEN.append(Sequence(f"{module}.{play.__name__}", play))
    return play
