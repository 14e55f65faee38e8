"""What a rendering needs beside the spec: what Kubernetes decided, and what was decided before."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace_operator.crd.pools import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One broker that is to run. Pool, id and zone never change."""

    pool: Pool
    id: int
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Read from the API server, or from the operator's own settings."""

    broker_image: str
    """Of brokers whose Cluster names none; its tag gives way to spec.version."""
    etcd_image: str
    operator_namespace: str
    brokers: tuple[Broker, ...]
    node_ports: Mapping[str, int] = field(default_factory=dict)
    """By Service: the port Kubernetes chose for it on every node."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By Service: the host name or address that a load balancer gave it."""
    nodes: Mapping[int, str] = field(default_factory=dict)
    """By broker: the address of the node that its pod is on."""
    etcd_secret_keys: frozenset[str] = frozenset()
    """What stands in the Secret of an external etcd."""
    etcd_initialized: bool = False
    """The managed etcd has been whole once."""
    prometheus: bool = False
    """The API of the Prometheus operator is served."""


def image_of_version(image: str, version: str) -> str:
    """The image with its tag, or its digest, replaced by the version."""
    repository = image.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}:{version}"
