"""A reader that catches up from a cold disk: `python -m tests.bench.cold_reader '{...}'`.

It drops a partition's files from the page cache, reads them through the broker as fast as it is
served, and begins again until the time is up. Prints the bytes of batches it read.
"""

import json
import os
import sys
import time
from pathlib import Path

from tests.bench.fetch_replay import FetchReader

ANSWER_BYTES = 1 << 20


def drop_from_cache(folder: Path) -> None:
    """Makes the kernel forget the clean pages of a partition's segments."""
    for segment in folder.glob("*.log"):
        descriptor = os.open(segment, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def read(port: int, topic: str, folder: str, end_offset: int, seconds: float) -> int:
    """Reads for `seconds`; returns the bytes of whole batches."""
    reader, total = FetchReader(port, topic, ANSWER_BYTES), 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if reader.offset == 0 or reader.offset >= end_offset:
            drop_from_cache(Path(folder))
            reader.offset = 0
        total += reader.fetch()
    reader.close()
    return total


if __name__ == "__main__":
    print(read(**json.loads(sys.argv[1])))
