"""What the steps act on: a Kubernetes, its images, and a client on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.kubernetes.images import Images
from e2e.rig.binaries import binary
from e2e.rig.cluster import Rig
from e2e.rig.paths import ROOT
from e2e.rig.process import run

POLL_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A Kubernetes to test in.

    kubeconfig: an administrator's
    rig:        the rig where it is ours, None for a Kubernetes that was given
    """

    kubeconfig: Path
    images: Images
    rig: Rig | None

    def kubectl(self, *arguments: str, text: str = "", timeout_s: float = 60.0) -> str:
        """Runs kubectl and returns what it printed; raises RigFailed with what went wrong."""
        command = [binary("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, text=text, timeout_s=timeout_s)

    def get(self, *arguments: str) -> Any:
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> str:
        """Applies plain objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.kubectl("apply", "-f", "-", text=text)

    def helm(self, *arguments: str, timeout_s: float = 180.0) -> str:
        """Runs helm and returns what it printed; raises RigFailed with what went wrong."""
        return run(
            [binary("helm"), f"--kubeconfig={self.kubeconfig}", *arguments], timeout_s=timeout_s
        )

    def shell(self, *commands: str, text: str = "", timeout_s: float = 60.0) -> str:
        """Types commands as a user does: from the top of the repository, with kubectl, helm and
        headrace on PATH. Returns what they printed; raises RigFailed at the first that fails."""
        tools = {binary("kubectl").parent, binary("helm").parent, Path(sys.executable).parent}
        environment = {
            **os.environ,
            "PATH": ":".join([*map(str, tools), os.environ["PATH"]]),
            "KUBECONFIG": str(self.kubeconfig),
        }
        script = "\n".join(["set -euo pipefail", *commands])
        return run(
            ["bash", "-c", script],
            timeout_s=timeout_s,
            text=text,
            environment=environment,
            folder=ROOT,
        )

    def headrace(self, bootstrap: str, *arguments: str, text: str = "") -> str:
        """Runs our command on this machine, outside of Kubernetes."""
        command = [sys.executable, "-m", "headrace.cli", *arguments, "--bootstrap", bootstrap]
        return run(command, text=text, timeout_s=60.0)

    def node_address(self) -> str:
        """An address of a node that this machine reaches node ports at."""
        nodes = self.get("nodes")["items"]
        addresses = nodes[0]["status"]["addresses"]
        return next(one["address"] for one in addresses if one["type"] == "InternalIP")

    def in_background(self, *arguments: str) -> subprocess.Popen[str]:
        """kubectl as a child that goes on; its output is read from `stdout`."""
        command = [str(binary("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
        )


def until(true: Callable[[], Any], *, what: str, timeout_s: float) -> Any:
    """Returns the first true value of `true()`; raises TimeoutError saying `what` was awaited."""
    deadline = time.monotonic() + timeout_s
    while not (value := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(POLL_INTERVAL_S)
    return value
