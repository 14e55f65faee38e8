"""`python -m e2e.rig.prepare` gets all that the rig needs, before anything is started.

Looks for what the machine must have, builds the programs, makes the base image. Ends with 1 after
a sentence about what is missing: a machine that cannot run the rig is known before a step fails.
"""

import os
import shutil
import sys
import time
from pathlib import Path

from e2e.rig import images
from e2e.rig.binaries import PROGRAMS, BuildFailed, binary
from e2e.rig.node import CGROUPS, CNI_PLUGINS
from e2e.rig.paths import ROOT
from e2e.rig.process import RigFailed

PACKAGES = {
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mkfs.xfs": "xfsprogs",
    "losetup": "mount",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "go": "golang-go",
}
"""Debian's package by program."""


def missing() -> str:
    """What this machine lacks to run the rig, as one sentence; "" where it lacks nothing."""
    if os.geteuid() != 0:
        return "it needs root."
    if not (CGROUPS / "cpuset").is_dir():
        return f"it needs cgroup v1 at {CGROUPS}, and there is none."
    if not Path("/dev/loop-control").exists():
        return "it needs loop devices, and there is no /dev/loop-control."
    packages = [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]
    if not (CNI_PLUGINS / "ptp").exists():
        packages.append("containernetworking-plugins")
    return f"it needs the packages {', '.join(packages)}." if packages else ""


def main() -> int:
    """0 once all is there."""
    started = time.monotonic()
    lacks = missing()
    if not lacks:
        try:
            for name in PROGRAMS:
                binary(name)
            images.stand_in(images.base_of(ROOT / "Dockerfile.broker"))
        except (BuildFailed, RigFailed) as fault:
            lacks = str(fault)
    if lacks:
        print(f"the rig cannot run here: {lacks}", flush=True)
        return 1
    print(f"all is there after {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
