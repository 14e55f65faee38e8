"""What `consume` says on a terminal while nothing comes: it would look as if it hung."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Final, Self

import click

from headrace.client.offsets import TopicPartition

_JOIN_AFTER_S: Final = 3
"""Longer than a broker waits for a new group's other members."""


class AtEnd:
    """Says, once, that all is read and new records are waited for."""

    def __init__(self, topic: str, *, follows: bool) -> None:
        self.due = follows and sys.stderr.isatty()
        self._topic = topic

    def look(
        self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        """`positions` are read next; `ends` were the ends when reading began."""
        if self.due and positions and all(o >= ends[p] for p, o in positions.items()):
            self.due = False
            click.echo(
                f"headrace: at the end of {self._topic}, waiting for new records; Ctrl-C ends.",
                err=True,
            )


class Joining:
    """A context manager around a member's life; says what holds it up until `over` is called."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._timer = asyncio.get_running_loop().call_later(_JOIN_AFTER_S, self._tell)
        return self

    def __exit__(self, *_: object) -> None:
        self.over()

    def over(self) -> None:
        """It has joined."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        click.echo(
            f"headrace: waiting to join group {self._group}: its other members must join again"
            f" first, and one that died is waited for until its session ends"
            f" (`headrace group describe {self._group}` shows them).",
            err=True,
        )
