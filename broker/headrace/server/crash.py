"""The end of a broker that found a bug of its own: one line, then gone (decision 17)."""

import os
import sys
import traceback
from typing import NoReturn

EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h."""


def now(bug: BaseException) -> NoReturn:
    """Say what happened and end the process without running anything else."""
    lines = "".join(traceback.format_exception(bug)).rstrip()
    sys.stderr.write(f"headrace found a bug in itself and stops at once: {bug}\n{lines}\n")
    sys.stderr.flush()
    os._exit(EXIT_BUG)
