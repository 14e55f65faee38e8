"""What this machine's loopback and disk can do at all, in the run whose rates they judge."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

TOUCH_SHARE = 0.4
TOUCH_MAX_S = 300
TOUCH = """
import mmap, sys
with mmap.mmap(-1, int(sys.argv[1])) as held:
    for position in range(0, len(held), 4096):
        held[position] = 1
"""

SECONDS = 1.0
ROUNDS = 3
MEBIBYTE = 1 << 20
DISK_BYTES = 1 << 30


def touch_memory() -> None:
    """Uses most of the free memory once and gives it back.

    A virtual machine gets its memory from the host at the first touch, which makes the first use
    of each MiB of page cache cost a millisecond or more: no round of either broker should pay it.
    """
    available = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) << 10
    size = int(available * TOUCH_SHARE)
    subprocess.run([sys.executable, "-c", TOUCH, str(size)], check=True, timeout=TOUCH_MAX_S)


def measure(folder: Path) -> Mapping[str, float]:
    """MB/s (10^6 bytes) by name, and 4 KiB writes a second with an fdatasync each.

    folder: on the disk under test
    """
    path = folder / "ceiling"
    try:
        return {
            "loopback, 1 MiB sends": _median(lambda: _loopback(MEBIBYTE)),
            "loopback, 64 KiB sends": _median(lambda: _loopback(64 << 10)),
            "buffered write": _median(lambda: _buffered_write(path, sync=False)),
            "buffered write, then fdatasync": _median(lambda: _buffered_write(path, sync=True)),
            "4 KiB write, fdatasync each": _median(lambda: _synced_writes(path)),
        }
    finally:
        path.unlink(missing_ok=True)


def _median(measure_once: Callable[[], float]) -> float:
    return median(measure_once() for _ in range(ROUNDS))


def _loopback(send_bytes: int) -> float:
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = [0]

        def drain() -> None:
            peer, _ = server.accept()
            buffer = bytearray(4 * MEBIBYTE)
            with peer:
                while count := peer.recv_into(buffer):
                    received[0] += count

        reader = threading.Thread(target=drain)
        reader.start()
        data = bytes(send_bytes)
        with socket.create_connection(server.getsockname()) as sender:
            started = time.perf_counter()
            while time.perf_counter() - started < SECONDS:
                sender.sendall(data)
        reader.join()
        return received[0] / (time.perf_counter() - started) / 1e6


def _buffered_write(path: Path, *, sync: bool) -> float:
    path.unlink(missing_ok=True)
    os.sync()
    data = os.urandom(MEBIBYTE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        started = time.perf_counter()
        for _ in range(DISK_BYTES // MEBIBYTE):
            os.write(descriptor, data)
        if sync:
            os.fdatasync(descriptor)
        return DISK_BYTES / (time.perf_counter() - started) / 1e6
    finally:
        os.close(descriptor)


def _synced_writes(path: Path) -> float:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    data, count = os.urandom(4096), 0
    try:
        started = time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            os.write(descriptor, data)
            os.fdatasync(descriptor)
            count += 1
        return count / (time.perf_counter() - started)
    finally:
        os.close(descriptor)
