"""The cleaner's child process: `COMMAND`, niced from its first breath.

A loop over records would stop the broker's event loop, so it runs here. A job comes as one line
of JSON on stdin, and each group that stands in `.cleaned` files goes as one line to stdout; the
last line says how it ended, and the next job may come. The end of stdin means that the broker is
gone: then this process ends at once, before another broker opens the folder.
"""

import json
import os
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from headrace.storage.cleaner import Cleaned, CleanJob, SegmentRange, Uncleanable, clean
from headrace.storage.cleaner_batch import Horizons
from headrace.storage.disk import Damaged, DiskFault, DiskFull
from headrace.storage.os_disk import OsDisk
from headrace.wire.records import CorruptRecords

NICENESS: Final = 10
COMMAND: Final = (
    sys.executable,
    "-c",
    f"import os; os.nice({NICENESS}); from headrace.storage import cleaner_process as child; "
    "child.main()",
)
"""The imports, a fifth of a second of work, are niced as well."""
ORPHANED: Final = 3
"""Exit status when the broker went away."""


class Ending(NamedTuple):
    """How a job ended, and why in a sentence. `how`: done, uncleanable, full, gone, fault, or,
    said by the broker's side, crashed."""

    how: str
    why: str


class Pace:
    """A throttle: sleeps so that bytes read and written stay below a rate."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._began = time.monotonic()
        self._bytes = 0

    def __call__(self, count: int) -> None:
        self._bytes += count
        ahead = self._bytes / self._bytes_per_second - (time.monotonic() - self._began)
        if ahead > 0:
            time.sleep(ahead)


def encode_job(job: CleanJob, bytes_per_second: float) -> bytes:
    """The line that starts a pass."""
    fields = {
        "folder": job.folder,
        "segments": [list(segment) for segment in job.segments],
        "first_dirty_offset": job.first_dirty_offset,
        "last_offsets": list(job.last_offsets.items()),
        "now_ms": job.horizons.now_ms,
        "delete_retention_ms": job.horizons.delete_retention_ms,
        "segment_bytes": job.segment_bytes,
        "segment_index_bytes": job.segment_index_bytes,
        "index_interval_bytes": job.index_interval_bytes,
        "keys_max": job.keys_max,
        "bytes_per_second": bytes_per_second,
    }
    return json.dumps(fields).encode() + b"\n"


def decode_job(line: bytes) -> tuple[CleanJob, float]:
    """`encode_job` read back."""
    fields = json.loads(line)
    horizons = Horizons(
        now_ms=fields.pop("now_ms"), delete_retention_ms=fields.pop("delete_retention_ms")
    )
    rate = float(fields.pop("bytes_per_second"))
    fields["segments"] = tuple(SegmentRange(*segment) for segment in fields["segments"])
    fields["last_offsets"] = dict(fields["last_offsets"])
    return CleanJob(horizons=horizons, **fields), rate


def decode_answer(line: bytes) -> Cleaned | Ending:
    """A line of the child: a group that is cleaned, or how the job ended."""
    fields = json.loads(line)
    if "how" in fields:
        return Ending(str(fields["how"]), str(fields["why"]))
    fields["replaces"] = tuple(fields["replaces"])
    return Cleaned(**fields)


def main() -> None:
    """Do jobs until stdin ends."""
    jobs: SimpleQueue[bytes | None] = SimpleQueue()
    working = threading.Event()
    threading.Thread(target=_read_jobs, args=(jobs, working), daemon=True).start()
    while (line := jobs.get()) is not None:
        ending = _do(line)
        working.clear()  # First: with the answer the next job may come.
        _say(ending._asdict())


def _do(line: bytes) -> Ending:
    job, rate = decode_job(line)
    try:
        for cleaned in clean(OsDisk(), job, Pace(rate)):
            _say(cleaned._asdict())
    except (Uncleanable, CorruptRecords, Damaged) as reason:
        return Ending("uncleanable", str(reason))
    except DiskFull as reason:
        return Ending("full", str(reason))
    except FileNotFoundError as reason:
        return Ending("gone", str(reason))
    except DiskFault as reason:
        return Ending("fault", str(reason))
    return Ending("done", "")


def _say(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _read_jobs(jobs: "SimpleQueue[bytes | None]", working: threading.Event) -> None:
    # A file of its own: a lock of sys.stdin held here would spoil the exit.
    with os.fdopen(os.dup(0), "rb") as lines:
        for line in lines:
            working.set()
            jobs.put(line)
    if working.is_set():
        os._exit(ORPHANED)
    jobs.put(None)
