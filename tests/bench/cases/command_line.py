"""`headrace produce` and `consume` beside kcat, a program in C: same broker, same lines."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from e2e.kafka.headrace import executable
from tests.bench.arena import Arena, Side, Void
from tests.bench.contest import Metric, Row, compare
from tests.bench.rounds import alternate, at_least

LINES = 1_000_000
LINE_BYTES = 100
TIMEOUT_S = 120
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def command_line(arena: Arena) -> list[Row]:
    """`headrace produce` and `consume` of 1 M lines of 100 B, beside kcat."""
    if shutil.which("kcat") is None:
        raise Void("kcat is not installed (Debian: apt-get install kcat)")
    arena.stop_sides()
    lines = arena.folder / "lines"
    _write_lines(lines)
    side = arena.ours()
    try:
        return _play(arena, side, lines)
    finally:
        side.broker.kill()
        lines.unlink()


def _play(arena: Arena, side: Side, lines: Path) -> list[Row]:
    def measure(tool: str) -> Mapping[str, float]:
        side.clear()
        os.sync()
        topic = side.create(arena.fresh_name("lines"))
        produce_s = _timed(_produce(tool, side, topic), side, stdin=lines)
        if side.end_offset(topic) != LINES:
            raise Void(f"{tool}: {side.end_offset(topic)} records of {LINES} lines arrived")
        came = arena.folder / "came"
        consume_s = _timed(_consume(tool, side, topic), side, stdout=came)
        if came.read_bytes() != lines.read_bytes():
            raise Void(f"{tool} did not give the lines back as they were sent")
        came.unlink()
        return {"produce": LINES / produce_s, "consume": LINES / consume_s}

    # Both are programs started anew each time: one discarded round warms the file cache.
    if not arena.quick:
        measure("kcat"), measure("headrace")
    pairs = alternate(lambda: measure("kcat"), lambda: measure("headrace"), arena.rounds)
    metrics = [
        Metric(
            key=what,
            title=f"headrace {what}, 1 M lines of {LINE_BYTES} B, start of the process included",
            unit="lines/s",
            target=at_least(0.3),
            byte_of=LINE_BYTES,
        )
        for what in ("produce", "consume")
    ]
    return [compare(metric, pairs, beside="kcat") for metric in metrics]


def _produce(tool: str, side: Side, topic: str) -> list[str]:
    if tool == "headrace":
        return [str(executable()), "produce", topic]
    # acks=all is librdkafka's default; -l would read a file line by line, so does standard input.
    return ["kcat", "-P", "-q", "-b", side.broker.bootstrap, "-t", topic]


def _consume(tool: str, side: Side, topic: str) -> list[str]:
    if tool == "headrace":
        return [str(executable()), "consume", topic, "--from-beginning", "--no-follow"]
    return ["kcat", "-C", "-q", "-e", "-b", side.broker.bootstrap, "-t", topic, "-o", "beginning"]


def _timed(
    command: list[str], side: Side, *, stdin: Path | None = None, stdout: Path | None = None
) -> float:
    environment = os.environ | {"HEADRACE_BOOTSTRAP": side.broker.bootstrap}
    source = (stdin or Path(os.devnull)).open("rb")
    sink = (stdout or Path(os.devnull)).open("wb")
    with source, sink:
        started = time.perf_counter()
        done = subprocess.run(
            command,
            stdin=source,
            stdout=sink,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=TIMEOUT_S,
        )
        seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise Void(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-300:]!r}")
    return seconds


def _write_lines(path: Path) -> None:
    source = random.Random(1)
    # Different lines, so that one lost or out of place shows in the comparison.
    tail = "".join(source.choices(ALPHABET, k=LINE_BYTES - 9))
    with path.open("w") as out:
        out.writelines(f"{number:08d}{tail}\n" for number in range(LINES))
