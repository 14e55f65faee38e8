"""How the process's file descriptors (`ulimit -n`) are shared out, so that nobody takes the last.

The kernel gives the lowest number that is free, so the number of a descriptor says how many are
open. Connections get numbers below three quarters, a slow reader's second descriptor too; files of
logs below seven eighths. The last eighth is for what is open for a moment: a directory to sync.
"""

import resource
import sys
from collections import Counter
from collections.abc import Sequence

from headrace.base.errors import Code, Refusal
from headrace.base.image import ClusterImage, PartitionState

_READ_SEGMENTS_MAX = 256


def limit() -> int:
    """The process's limit of open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def for_connections() -> int:
    """From this number on a connection, or its second descriptor, is one too many."""
    return limit() * 3 // 4


def for_files() -> int:
    """From this number on no file of a log is opened."""
    return limit() * 7 // 8


def partitions_max() -> int:
    """Partitions that are open at once; each has its active segment open."""
    return limit() // 2


def read_segments_max() -> int:
    """Rolled segments that stay open, three descriptors each."""
    return min(_READ_SEGMENTS_MAX, max(limit() // 16, 1))


def refuse(image: ClusterImage, added: Sequence[PartitionState]) -> Refusal | None:
    """Why a broker has no room to hold `added` open. All brokers are taken to have this limit."""
    most = partitions_max()
    for broker_id, count in Counter(node for p in added for node in p.replicas).items():
        held = image.held.get(broker_id, 0)
        if held + count > most:
            return Refusal(
                Code.POLICY_VIOLATION,
                f"Broker {broker_id} has {held} partitions; {count} more are beyond the {most} for "
                f"which its limit of open files ({limit()}) has room: raise that (ulimit -n).",
            )
    return None
