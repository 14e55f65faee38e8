"""Play sequences to two brokers and compare what they answer."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from headrace.base.invariant import Bug

from e2e.compat.differential.allowance import Allowance
from e2e.compat.differential.compare import Difference, Record, compare
from e2e.compat.differential.peer import Peer
from e2e.compat.differential.sequence import Sequence as Played

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one sequence: differences, and the error of a player that could not go on."""

    sequence: str
    steps: int
    differences: list[Difference]
    broken: str | None

    @property
    def bad(self) -> bool:
        """Whether Headrace differs where nothing allows it."""
        return self.broken is not None or any(d.allowed is None for d in self.differences)


def play_all(
    sequences: Iterable[Played],
    kafka: Address,
    headrace: Address,
    allowances: Sequence[Allowance],
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Every sequence to both brokers, the two at the same time, one sequence after another."""
    outcomes = []
    tag = f"{time.time_ns() // 1_000_000 % 0xFFFFFF:06x}"  # names of their own for every run
    with ThreadPoolExecutor(max_workers=2) as pool:
        for number, item in enumerate(sequences):
            both = [
                pool.submit(_play, item, f"{tag}-{number}", where) for where in (kafka, headrace)
            ]
            (theirs, fault), (ours, other_fault) = (future.result() for future in both)
            outcome = Outcome(
                sequence=item.name,
                steps=max(len(theirs), len(ours)),
                differences=compare(item.name, theirs, ours, allowances),
                broken=_told_apart(fault, other_fault),
            )
            outcomes.append(outcome)
            told(outcome)
    return outcomes


def _play(item: Played, prefix: str, where: Address) -> tuple[Record, str | None]:
    peer = Peer(*where, prefix=prefix)
    try:
        item.play(peer)
    except (Exception, Bug) as error:
        return peer.record, f"{type(error).__name__}: {error}"
    finally:
        peer.close()
    return peer.record, None


def _told_apart(kafka: str | None, headrace: str | None) -> str | None:
    """A player that fails does so because an answer was not what the sequence needs."""
    if kafka is None and headrace is None:
        return None
    return f"the player stopped at Kafka: {kafka}; at Headrace: {headrace}"
