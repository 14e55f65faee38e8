"""A bar on stderr for work that takes longer than a moment; nothing where no one looks."""

import sys
import time
from types import TracebackType
from typing import Any, Final, Self

from headrace.cli.fault import colour_allowed

_AFTER_S: Final = 0.7


class Progress:
    """A context manager. rich is imported only once the bar is really shown."""

    def __init__(self, what: str, total: int | None, *, bytes_counted: bool, shown: bool) -> None:
        self._what = what
        self._total = total
        self._bytes_counted = bytes_counted
        self._due = time.monotonic() + _AFTER_S if shown and sys.stderr.isatty() else None
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def at(self, done: int) -> None:
        """So much is done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif self._due is not None and time.monotonic() >= self._due:
            self._show(done)

    def _show(self, done: int) -> None:
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True, no_color=not colour_allowed(sys.stderr))
        columns: list[Any] = [progress.TextColumn("{task.description}")]
        if self._total is not None:
            columns += [progress.BarColumn(), progress.TaskProgressColumn()]
        if self._bytes_counted:
            columns += [progress.DownloadColumn(), progress.TransferSpeedColumn()]
        else:
            columns.append(progress.TextColumn("{task.completed:,.0f} records"))
        columns.append(progress.TimeElapsedColumn())
        self._bar = progress.Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(self._what, total=self._total, completed=done)
        self._bar.start()
