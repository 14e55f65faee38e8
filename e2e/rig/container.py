"""A container's first process, as the machine that runs the rig sees it."""

import os
import signal
from pathlib import Path

from e2e.rig.process import RigFailed


def kill(container_id: str) -> None:
    """SIGKILL to the first process of a container (`containerd://...` as in a pod's status).

    From within nobody can do that: the kernel keeps it from its own namespace's first process.
    Raises RigFailed where there is none.
    """
    identity = container_id.rpartition("/")[2]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if identity in (folder / "cgroup").read_text() and _is_first(folder):
                os.kill(int(folder.name), signal.SIGKILL)
                return
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
    raise RigFailed(f"no first process of container {container_id} on this machine")


def _is_first(folder: Path) -> bool:
    """Whether it is process 1 of a namespace of its own."""
    for line in (folder / "status").read_text().splitlines():
        if line.startswith("NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == "1"
    return False
