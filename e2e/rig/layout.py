"""The rig's three nodes, their zones, their addresses and their folders.

Pods live in 198.18.0.0/16 and Services in 198.19.0.0/16, the benchmark range of RFC 2544, which is
nobody's network. Each node has an address of its own on a bridge without ports, so node ports,
host ports and kubelets of three nodes do not meet on one host.
"""

from dataclasses import dataclass
from pathlib import Path

from e2e.rig.paths import LOGS, RUN

NAME = "rig"
STATE = RUN / NAME
RIG_LOGS = LOGS / NAME
BRIDGE_PREFIX = "hrig"
POD_RANGE = "198.18.0.0/16"
CONTROL_ADDRESS = "198.18.0.1"
CONTROL_BRIDGE = f"{BRIDGE_PREFIX}0"
API_PORT = 6443
CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, known by its number."""

    number: int

    @property
    def name(self) -> str:
        return f"n{self.number}"

    @property
    def zone(self) -> str:
        return f"zone-{self.number}"

    @property
    def address(self) -> str:
        return f"198.18.{self.number}.1"

    @property
    def pods(self) -> str:
        """The addresses of its pods, but for the node's own."""
        return f"198.18.{self.number}.0/24"

    @property
    def bridge(self) -> str:
        return f"{BRIDGE_PREFIX}{self.number}"

    @property
    def cgroup(self) -> str:
        """Nodes that share a cgroup delete each other's pods."""
        return f"{BRIDGE_PREFIX}{self.number}"

    @property
    def folder(self) -> Path:
        return STATE / self.name

    @property
    def socket(self) -> Path:
        """containerd's; `ctr` wants it absolute."""
        return self.folder / "containerd.sock"


NODES = tuple(Node(number=number) for number in (1, 2, 3))
