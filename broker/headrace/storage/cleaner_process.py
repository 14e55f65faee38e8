"""The cleaner's child process: `python -m headrace.storage.cleaner_process`, niced.

A loop over records would stop the broker's event loop, so it runs here. The job comes as one
line of JSON on stdin, and each group that stands in `.cleaned` files goes as one line to stdout;
the last line says how it ended. The end of stdin means that the broker is gone: then this
process ends at once, before another broker opens the folder.
"""

import json
import os
import sys
import threading
import time
from typing import Any, Final

from headrace.storage.cleaner import Cleaned, CleanJob, SegmentRange, Uncleanable, clean
from headrace.storage.cleaner_batch import Horizons
from headrace.storage.disk import Damaged, DiskFault, DiskFull
from headrace.storage.os_disk import OsDisk
from headrace.wire.records import CorruptRecords

NICENESS: Final = 10
ORPHANED: Final = 3
"""Exit status when the broker went away."""


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


def decode_answer(line: bytes) -> Cleaned | dict[str, str]:
    """A line of the child: a group that is cleaned, or how the pass ended.

    The end is {"ended": one of done, uncleanable, full, gone, fault; "why": a sentence}.
    """
    fields = json.loads(line)
    if "ended" in fields:
        return {"ended": str(fields["ended"]), "why": str(fields["why"])}
    fields["replaces"] = tuple(fields["replaces"])
    return Cleaned(**fields)


def main() -> None:
    os.nice(NICENESS)
    job, rate = decode_job(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_broker, daemon=True).start()
    try:
        for cleaned in clean(OsDisk(), job, Pace(rate)):
            _say(cleaned._asdict())
    except (Uncleanable, CorruptRecords, Damaged) as reason:
        _say({"ended": "uncleanable", "why": str(reason)})
    except DiskFull as reason:
        _say({"ended": "full", "why": str(reason)})
    except FileNotFoundError as reason:
        _say({"ended": "gone", "why": str(reason)})
    except DiskFault as reason:
        _say({"ended": "fault", "why": str(reason)})
    else:
        _say({"ended": "done", "why": ""})


def _say(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _leave_with_broker() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # unbuffered: a lock held here would spoil the exit
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
