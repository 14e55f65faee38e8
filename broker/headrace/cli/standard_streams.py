"""Standard streams as commands need them, however `headrace` was called.

One that was closed (`headrace topic list >&-`) fails as a file does, and a name that is not UTF-8,
as a file's may be, is written as it is.
"""

import io
import os
import sys
from typing import Final

_OTHER_WAY: Final = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}
"""Standard input that cannot be read and output that cannot be written: each use is then EBADF,
where a free number would go to the next file that is opened. Errors have nowhere to go."""


def prepare() -> None:
    """Open the numbers 0 to 2 where they are not, and Python's streams with them."""
    for number, flags in _OTHER_WAY.items():
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
