"""The whole rig: a control plane and three nodes in three zones, started and taken down.

with start() as rig:
    run([binary("kubectl"), f"--kubeconfig={rig.kubeconfig}", "get", "nodes"])
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.rig import api, clean, control, images, network
from e2e.rig.layout import API_PORT, CONTROL_ADDRESS, NAME, NODES
from e2e.rig.node import start_containerd, start_kubelet
from e2e.rig.process import Daemon, RigFailed
from e2e.rig.volumes import Provisioner

NODES_TIMEOUT_S = 90.0


class Rig:
    """A running Kubernetes of the rig's own. As a context manager it is taken down at the end.

    kubeconfig: the administrator's
    """

    def __init__(self, server: api.Api) -> None:
        self.api = server
        self.kubeconfig: Path = server.kubeconfig
        self.daemons: list[Daemon] = []
        self.provisioner: Provisioner | None = None

    def stop(self) -> None:
        """Takes everything down but logs and caches."""
        if self.provisioner is not None:
            self.provisioner.stop()
        for daemon in reversed(self.daemons):
            daemon.stop(3.0)
        # Kept until here: clean() removes what the other two write into.
        self.api.server.stop()
        self.api.etcd.stop()
        clean.clean()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(said: Callable[[str], None] = print) -> Rig:
    """Starts the rig and returns once three nodes are Ready.

    said: gets a line a step. Raises RigFailed with the log that explains it; needs root.
    """
    if os.geteuid() != 0:
        raise RigFailed("the rig needs root; without it, give a kubeconfig in E2E_KUBECONFIG")
    clean.clean()
    started = time.monotonic()

    def step(what: str) -> None:
        said(f"{time.monotonic() - started:6.1f} s  {what}")

    network.raise_bridges()
    server = api.start(
        host=CONTROL_ADDRESS, port=API_PORT, name=NAME, arguments=control.api_arguments()
    )
    rig = Rig(server)
    try:
        step("the API server is ready")
        rig.daemons += [control.start_controllers(server), control.start_scheduler(server)]
        pause = images.pause()
        for node in NODES:
            rig.daemons.append(start_containerd(node))
        images.load(NODES, pause)
        step("three containerd run")
        rig.daemons += [start_kubelet(node, server) for node in NODES]
        rig.daemons += [network.start_proxy(server), network.start_names(server)]
        rig.provisioner = Provisioner(server)
        _await_nodes(rig)
        step(f"{len(NODES)} nodes are Ready")
    except BaseException:
        rig.stop()
        raise
    return rig


def _await_nodes(rig: Rig) -> None:
    deadline = time.monotonic() + NODES_TIMEOUT_S
    kubelets = [daemon for daemon in rig.daemons if daemon.name.startswith("kubelet")]
    while (ready := _ready_nodes(rig.api)) < len(NODES):
        for daemon in rig.daemons:
            if daemon.process.poll() is not None:
                raise RigFailed(f"{daemon.name} ended; {daemon.tail()}")
        if time.monotonic() > deadline:
            tails = "\n".join(kubelet.tail() for kubelet in kubelets)
            raise RigFailed(f"{ready} nodes were Ready after {NODES_TIMEOUT_S} s; {tails}")
        time.sleep(0.25)


def _ready_nodes(server: api.Api) -> int:
    status, nodes = server.request("GET", "/api/v1/nodes")
    if status != 200:
        return 0
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for node in nodes["items"]
        for condition in node["status"].get("conditions", [])
    )
