"""The end of a broker that found a bug of its own: one line, then gone (decision 17)."""

import asyncio
import os
import sys
import traceback
from typing import Any, NoReturn

EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h."""


def now(bug: BaseException) -> NoReturn:
    """Say what happened and end the process without running anything else."""
    lines = "".join(traceback.format_exception(bug)).rstrip()
    sys.stderr.write(f"headrace found a bug in itself and stops at once: {bug!r}\n{lines}\n")
    sys.stderr.flush()
    os._exit(EXIT_BUG)


def on_bug(task: "asyncio.Task[Any]") -> None:
    """A done callback for background tasks: nobody awaits them, so a bug ends the process."""
    if not task.cancelled() and task.exception() is not None:
        now(task.exception() or RuntimeError("a task failed"))
