"""The operator's settings: flags of `headrace-operator`, or the environment the chart sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.base.version import VERSION

DEFAULT_BROKER_IMAGE: Final = f"headrace/broker:{VERSION}"
DEFAULT_ETCD_IMAGE: Final = "headrace/etcd:3.6.16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one operator process runs with. Durations in seconds."""

    namespaces: tuple[str, ...] = ()
    """The namespaces that are watched; none means all, which needs a ClusterRole."""

    operator_namespace: str = "headrace-system"
    """Where the operator itself runs: its Lease lives there, and its pods may reach the control
    listeners of the brokers."""

    identity: str = "headrace-operator"
    """This process' name in the Lease: the pod's name and something that no restart repeats."""

    lease_name: str = "headrace-operator"
    broker_image: str = DEFAULT_BROKER_IMAGE
    etcd_image: str = DEFAULT_ETCD_IMAGE
    cluster_domain: str = "cluster.local"

    watch_nodes: bool = True
    """Read Nodes and StorageClasses; off where the operator may see only its namespaces."""

    workers: int = 64
    """Keys worked on at once; each is one coroutine that mostly waits for an answer."""

    lane_workers: int = 32
    """Of these for the Topics and Quotas of one Cluster: the others keep half. With 96 an
    overloaded API server renewed no Lease in time any more (tried), and the operator ended."""

    reconcile_timeout_seconds: float = 120.0
    """A pass that takes longer is given up and tried again: one step of it waits 15 s at most."""

    sweep_seconds: float = 300.0
    """Between two complete LISTs of all that is watched."""

    look_seconds: float = 120.0
    """Between two looks at a Topic or Quota for what others changed in the brokers, whom nobody
    tells of."""

    http_port: int = 8080
    log_level: str = "INFO"
    kubeconfig: Path | None = None
    """None: the service account of the pod, else ~/.kube/config."""

    @property
    def all_namespaces(self) -> bool:
        return not self.namespaces
