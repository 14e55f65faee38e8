"""A broker as a child process: started, awaited by protocol, measured, stopped or killed."""

import atexit
import contextlib
import os
import signal
import socket
import struct
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
PROBE_INTERVAL_S = 0.005
PROBE_TIMEOUT_S = 2.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class BrokerFailed(Exception):
    """A broker ended, or did not become ready in time; carries the end of its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process and its descendants have used so far.

    cpu_s:     user and system seconds, ended children included (10 ms steps)
    rss_bytes: resident memory; pages that a parent and its child share count twice
    """

    cpu_s: float
    rss_bytes: int


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports of the loopback interface that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def usage_of(pid: int) -> Usage:
    """CPU and memory of `pid` and its descendants. Raises ProcessLookupError if it ended."""
    cpu_ticks, rss_bytes = 0, 0
    try:
        for member in _tree(pid):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            # Fields 14-17 of proc(5): utime, stime, cutime, cstime; here counted from field 3.
            cpu_ticks += sum(map(int, fields[11:15]))
            rss_bytes += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError as gone:
        raise ProcessLookupError(f"process {pid} or a child of it has ended") from gone
    return Usage(cpu_s=cpu_ticks / CLOCK_TICKS, rss_bytes=rss_bytes)


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            # A child that ends between the listing and the reading is nobody's loss.
            with contextlib.suppress(FileNotFoundError):
                found.extend(map(int, (task / "children").read_text().split()))
    return found


def answers_metadata(port: int, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """True if a broker at `port` answers Metadata v5 and lists at least one live broker."""
    header = struct.pack(">hhih5s", 3, 5, 1, 5, b"probe")
    request = header + struct.pack(">i?", 0, False)
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as peer:
            peer.sendall(struct.pack(">i", len(request)) + request)
            answer = peer.makefile("rb").read(4 + 4 + 4 + 4)
    except OSError:
        return False
    if len(answer) < 16:
        return False
    _size, _correlation_id, _throttle_time_ms, brokers = struct.unpack(">iiii", answer)
    return bool(brokers > 0)


class BrokerProcess(ABC):
    """One broker on free loopback ports. As a context manager it is started and stopped.

    data_dir:   the folder the broker keeps everything in; the caller deletes it
    kafka_port: where it listens; kept over restarts
    """

    name: str

    def __init__(self, data_dir: Path, *, kafka_port: int | None = None) -> None:
        self.data_dir = data_dir
        self.kafka_port = kafka_port if kafka_port is not None else free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None
        self.output_path = data_dir.parent / f"{data_dir.name}.out"

    @abstractmethod
    def command(self) -> list[str]:
        """The command line that starts the broker."""

    @abstractmethod
    def prepare(self) -> None:
        """What must be done once before the first start; not part of the measured time."""

    @property
    def bootstrap(self) -> str:
        """The address for clients, `host:port`."""
        return f"{LOOPBACK}:{self.kafka_port}"

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        if self.process is None:
            raise BrokerFailed(f"{self.name} is not running")
        return self.process.pid

    def start(self, timeout_s: float = 60.0) -> float:
        """Starts the broker and waits until it answers Metadata with a live broker.

        Returns the seconds from the start of the process to that answer. Raises BrokerFailed
        with the end of the broker's output if it ends or the time is up.
        """
        if self.process is not None:
            raise BrokerFailed(f"{self.name} is already running as process {self.pid}")
        self.prepare()
        with self.output_path.open("ab") as output:
            started = time.perf_counter()
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill)
        while not answers_metadata(self.kafka_port):
            if self.process.poll() is not None or time.perf_counter() - started > timeout_s:
                raise self._failure(timeout_s)
            time.sleep(PROBE_INTERVAL_S)
        return time.perf_counter() - started

    def usage(self) -> Usage:
        """CPU seconds since its start and resident memory now, child processes included."""
        return usage_of(self.pid)

    def output(self) -> str:
        """Everything the broker has printed over all its starts."""
        return self.output_path.read_text(errors="replace") if self.output_path.exists() else ""

    def stop(self, timeout_s: float = 30.0) -> float:
        """SIGTERM, then waits for the end; returns the seconds it took.

        Raises BrokerFailed if the broker had to be killed after `timeout_s`.
        """
        if self.process is None:
            return 0.0
        asked = time.perf_counter()
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BrokerFailed(f"{self.name} did not stop within {timeout_s} s") from None
        finally:
            self.kill()
        return time.perf_counter() - asked

    def kill(self) -> None:
        """kill -9 of the broker and whatever it started; waits for its end. Quiet if ended."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        atexit.unregister(self.kill)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    def _failure(self, timeout_s: float) -> BrokerFailed:
        ended = self.process.poll() if self.process is not None else None
        what = f"was not ready within {timeout_s} s" if ended is None else f"ended with {ended}"
        self.kill()
        return BrokerFailed(f"{self.name} {what}; its last output:\n{self.output()[-2000:]}")
