"""The `headrace` command as a child process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

LAUNCHER = [sys.executable, "-m", "headrace.cli"]


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: bytes
    err: str


def run(*arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> Done:
    """Run `headrace` with this standard input; no profile or address of the user counts."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
    done = subprocess.run(
        [*LAUNCHER, *arguments],
        input=given,
        capture_output=True,
        timeout=90,
        env={**inherited, "XDG_CONFIG_HOME": "/nonexistent", **(environment or {})},
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())
