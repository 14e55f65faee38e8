"""The main job on real text: pipes through the log, compared with plain pipes.

`make demo` starts `headrace dev` on free ports, runs `cat | grep | tr` through two topics, reads
the topic again in three ways, prints how long each step took, and stops what it started.
Exit 0 only if every comparison held.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = ROOT / "LICENSE"
HEADRACE = Path(sys.executable).parent / "headrace"
READY_WITHIN_S = 30


class Failed(Exception):
    """A step did not give what it must."""


def main() -> int:
    steps: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder:
        began = time.perf_counter()
        try:
            with broker(Path(folder) / "data") as address:
                steps.append(("start the broker", time.perf_counter() - began))
                for title, step in STEPS:
                    began = time.perf_counter()
                    print(f"\n== {title}")
                    step(address, Path(folder))
                    steps.append((title, time.perf_counter() - began))
                began = time.perf_counter()
            steps.append(("stop the broker", time.perf_counter() - began))
        except Failed as failed:
            print(f"\nfailed: {failed}", file=sys.stderr)
            return 1
    print("\nmeasured:")
    for title, seconds in steps:
        print(f"  {seconds:6.2f} s  {title}")
    print("\nall of it held: the log gave back, byte for byte, what the plain pipe gives")
    return 0


@contextlib.contextmanager
def broker(data_dir: Path) -> Iterator[str]:
    """A dev broker on free ports; yields its address and stops it with SIGTERM."""
    command = [str(HEADRACE), "dev", "--data-dir", str(data_dir)]
    command += ["--kafka-port", "0", "--http-port", "0"]
    print(f"$ {shlex.join(command)}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield ready_address(process)
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=READY_WITHIN_S) != 0:
            raise Failed(f"the broker ended with {process.returncode} after SIGTERM")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def ready_address(process: "subprocess.Popen[str]") -> str:
    """The Kafka address from the broker's ready line."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("headrace is ready"):
            print(line.rstrip())
            return line.split("kafka://")[1].split()[0]
    raise Failed("the broker ended before it was ready")


def pipe(address: str, line: str, **files: Path) -> bytes:
    """Run a shell pipe, with HEADRACE_BOOTSTRAP set; its output."""
    print(f"$ {line}")
    environment = dict(os.environ, HEADRACE_BOOTSTRAP=address)
    environment["PATH"] = f"{HEADRACE.parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env={**environment, **{name: str(path) for name, path in files.items()}},
        stdout=subprocess.PIPE,
        timeout=120,
    )
    if done.returncode != 0:
        raise Failed(f"{line!r} ended with {done.returncode}")
    return done.stdout


def through_the_log(address: str, folder: Path) -> None:
    """cat | grep | tr with a topic in every pipe, beside the plain pipe."""
    pipe(address, 'cat "$TEXT" | headrace produce raw', TEXT=TEXT)
    pipe(
        address,
        "headrace consume raw --from-beginning --no-follow"
        " | grep -i apache | tr a-z A-Z | headrace produce out",
    )
    pipe(
        address,
        'headrace consume out --from-beginning --no-follow > "$OUT"',
        OUT=folder / "out.txt",
    )
    plain = pipe(address, 'cat "$TEXT" | grep -i apache | tr a-z A-Z', TEXT=TEXT)
    given = (folder / "out.txt").read_bytes()
    if given != plain:
        raise Failed(f"out.txt has {len(given)} bytes, the plain pipe {len(plain)}, or they differ")
    lines = given.count(b"\n")
    print(f"out.txt is the plain pipe's output, byte for byte: {lines} lines, {len(given)} bytes")


def time_machine(address: str, folder: Path) -> None:
    """The same topic again: from the beginning, from an offset, from a timestamp."""
    text = TEXT.read_bytes()
    again = pipe(address, "headrace consume raw --from-beginning --no-follow")
    if again != text:
        raise Failed("read from the beginning, the topic is not the text")
    lines = text.splitlines(keepends=True)
    half = len(lines) // 2
    late = pipe(address, f"headrace consume raw --offset {half} --no-follow")
    if late != b"".join(lines[half:]):
        raise Failed(f"read from offset {half}, the topic is not the text's second half")
    moment = pipe(address, "headrace consume raw --from-beginning --count 1 --format '%T\\n'")
    since = pipe(address, f"headrace consume raw --timestamp {moment.decode().strip()} --no-follow")
    if since != text:
        raise Failed("read from the first record's timestamp, the topic is not the text")
    print(
        f"the same {len(lines)} lines again, from line {half}, and from {moment.decode().strip()}"
    )


STEPS = (
    ("pipes through the log", through_the_log),
    ("the time machine", time_machine),
)

if __name__ == "__main__":
    sys.exit(main())
