"""Takes the rig away, whatever state it is in, also after a run that was killed.

The order matters: kubelets first, or they start again what is ended; then the containers, by
their cgroups; then mounts, loop devices, addresses and rules; the files last.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from e2e.rig import network
from e2e.rig.layout import NODES, STATE
from e2e.rig.node import hierarchies
from e2e.rig.paths import BIN
from e2e.rig.process import RigFailed, run

END_TIMEOUT_S = 20.0


def clean() -> None:
    """Leaves nothing of the rig but its logs and caches. Raises RigFailed if mounts stay."""
    if not STATE.exists():
        return
    _end(_ours("kubelet"))
    for node in NODES:
        _end(_contained(node.cgroup))
    _end(_ours(""))
    for target in _mounts():
        run(["umount", "--lazy", target])
    for image in (STATE / "volumes").glob("*.img"):
        for device in run(["losetup", "-j", image, "--noheadings", "-O", "NAME"]).split():
            run(["losetup", "--detach", device])
    network.forget_rules()
    network.lower_bridges()
    _remove_cgroups()
    if left := _mounts():
        raise RigFailed(f"still mounted, so nothing was removed: {left}")
    shutil.rmtree(STATE)


def _ours(program: str) -> list[int]:
    """Processes of our own binaries (`program` alone, "" for all) that run in the rig's folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            mine = str(STATE) in " ".join(words[1:])
            name = Path(words[0]).name
            if mine and (BIN / name).exists() and (not program or name == program):
                found.append(int(folder.name))
    return found


def _contained(cgroup: str) -> list[int]:
    found = set()
    for hierarchy in hierarchies():
        for path in (hierarchy / cgroup).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found |= {int(line) for line in path.read_text().split()}
    return sorted(found - {os.getpid()})


def _end(processes: list[int]) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + END_TIMEOUT_S
    while any(_alive(pid) for pid in processes):
        if time.monotonic() > deadline:
            raise RigFailed(f"processes {processes} did not end within {END_TIMEOUT_S} s")
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def _mounts() -> list[str]:
    """What is mounted in the rig's folder, the innermost first."""
    lines = Path("/proc/mounts").read_text().splitlines()
    targets = [line.split()[1] for line in lines]
    return [target for target in reversed(targets) if target.startswith(f"{STATE}/")]


def _remove_cgroups() -> None:
    for folder in _cgroup_folders():
        # The kernel may still be clearing one up; an empty folder that stays harms nobody.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _cgroup_folders() -> Iterator[Path]:
    for hierarchy in hierarchies():
        for node in NODES:
            top = hierarchy / node.cgroup
            if top.is_dir():
                inner = [path for path in top.rglob("*") if path.is_dir()]
                yield from sorted(inner, key=lambda path: len(path.parts), reverse=True)
                yield top
