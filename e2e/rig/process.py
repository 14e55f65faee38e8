"""The rig's processes: started in the background, awaited, ended; a failed start says why."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_INTERVAL_S = 0.1
TAIL_CHARACTERS = 3000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class RigFailed(Exception):
    """A part of the rig did not come up or did not do what was asked; says which and why."""


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """A program that runs until it is stopped, its output appended to a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts `command`. It is killed when this process ends, however that happens."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Returns once `ready()`; raises RigFailed with the end of the log if it is too late."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            ended = self.process.poll()
            if ended is not None:
                raise RigFailed(f"{self.name} ended with {ended}; {self.tail()}")
            if time.monotonic() > deadline:
                raise RigFailed(f"{self.name} was not ready within {timeout_s} s; {self.tail()}")
            time.sleep(POLL_INTERVAL_S)

    def tail(self) -> str:
        """The last words of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"the end of {self.log}:\n{text[-TAIL_CHARACTERS:]}"

    def stop(self, timeout_s: float = 10.0) -> None:
        """SIGTERM to it and what it started in its session, SIGKILL after `timeout_s`."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        """Freezes it (SIGSTOP): the peer that neither answers nor closes."""
        self.process.send_signal(signal.SIGSTOP)
        # On a busy machine its other threads run on until the one that got the signal has its turn.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Ends a pause (SIGCONT)."""
        self.process.send_signal(signal.SIGCONT)


def run(
    command: Sequence[str | Path],
    *,
    timeout_s: float = 60.0,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Runs a command to its end and returns what it printed.

    text: its standard input; environment, folder: its own where they are given. Raises RigFailed
    with its output unless it exits with 0 in time.
    """
    words = [str(part) for part in command]
    try:
        done = subprocess.run(
            words,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
            cwd=folder,
        )
    except subprocess.TimeoutExpired:
        raise RigFailed(f"{' '.join(words)} did not end within {timeout_s} s") from None
    except FileNotFoundError:
        raise RigFailed(f"{words[0]} is not installed; .ci/run names the packages") from None
    if done.returncode != 0:
        said = f"{done.stdout[-TAIL_CHARACTERS:]}{done.stderr[-TAIL_CHARACTERS:]}"
        raise RigFailed(f"{' '.join(words)} ended with {done.returncode}:\n{said}")
    return done.stdout
