"""The `headrace` command as a child process."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

LAUNCHER = [sys.executable, "-m", "headrace.cli"]


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: bytes
    err: str


def run(*arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> Done:
    """Run `headrace` with this standard input; no profile or address of the user counts."""
    done = subprocess.run(
        [*LAUNCHER, *arguments],
        input=given,
        capture_output=True,
        timeout=90,
        env={**_environment(), **(environment or {})},
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
    return {**kept, "XDG_CONFIG_HOME": "/nonexistent"}


class Terminal:
    """A command whose standard streams are a terminal: `with Terminal.running("topic") as t`."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.shown = ""
        self._master = master

    @classmethod
    @contextmanager
    def running(
        cls, *arguments: str, columns: int = 100, folder: Path | None = None
    ) -> Iterator["Terminal"]:
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, columns))
        process = subprocess.Popen(
            [*LAUNCHER, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Ctrl-C reaches whoever controls the terminal, which takes an ioctl in the child.
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
            env={**_environment(), "NO_COLOR": "1"},
            cwd=folder,
        )
        os.close(slave)
        try:
            yield cls(process, master)
        finally:
            process.kill()
            process.wait()
            os.close(master)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, text: str, timeout_s: float = 30) -> None:
        """Read what it shows until `text` stands there."""
        deadline = time.monotonic() + timeout_s
        while text not in self.shown:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} is not in {self.shown!r}")

    def end(self, timeout_s: float = 30) -> int:
        """Its exit code; `shown` is then all that it has shown."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        if not select.select([self._master], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says EIO where nobody holds the other end any more
            return False
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)
