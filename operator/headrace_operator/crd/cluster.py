"""The Cluster resource: brokers, their listeners, their settings and their etcd."""

from typing import Annotated, Final, Literal

from pydantic import Field

from headrace_operator.crd.cluster_rules import MIN_INSYNC, NAMES, SPEC, VOLUMES
from headrace_operator.crd.cluster_status import ClusterStatus
from headrace_operator.crd.etcd import Etcd, ManagedEtcd
from headrace_operator.crd.fields import LABEL_CHARACTERS_MAX, Image, Label
from headrace_operator.crd.listeners import INTERNAL, Listeners
from headrace_operator.crd.metadata import API_VERSION, ObjectMeta
from headrace_operator.crd.pools import Pool
from headrace_operator.crd.struct import Rule, Struct, keyed_by, ruled, unordered

Version = Annotated[
    str, Field(max_length=63, pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([-.+][0-9A-Za-z][-.0-9A-Za-z]*)?$")
]
RESERVED_SETTINGS: Final = (
    "advertised.listeners",
    "broker.id",
    "broker.rack",
    "cluster.name",
    "control.listener.name",
    "data.dir",
    "http.host",
    "http.port",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.store",
    "node.id",
)
"""What the operator itself writes into each broker's configuration, and etcd.*."""

_NOT_RESERVED = Rule(
    cel=f"""self.all(k, !(k in [{", ".join(f"'{name}'" for name in RESERVED_SETTINGS)}])
        && !k.startsWith('etcd.'))""",
    message="config must not set etcd.* or any of "
    + ", ".join(RESERVED_SETTINGS)
    + ": the operator sets them for each broker",
)
Settings = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=256),
    ruled(_NOT_RESERVED, MIN_INSYNC),
]
"""Setting to value, both as text."""


Admitted = Annotated[
    str, Field(max_length=LABEL_CHARACTERS_MAX, pattern=r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$")
]


_EVERY_ALONE = Rule(
    cel="!('*' in self) || size(self) == 1",
    message="'*' admits every namespace and stands alone",
)


class Access(Struct):
    """Who may use the Cluster from another namespace."""

    namespaces: Annotated[tuple[Admitted, ...], Field(max_length=256), unordered(_EVERY_ALONE)] = ()
    """Namespaces whose Topics and Quotas are admitted beside the Cluster's own; "*" is every."""


class Monitoring(Struct):
    """Objects of the Prometheus operator, made where its API is served."""

    pod_monitor: bool = False
    """Make a PodMonitor for the brokers."""
    prometheus_rule: bool = False
    """Make a PrometheusRule with alerts."""
    labels: Annotated[dict[str, Label], Field(max_length=32)] = Field(default_factory=dict)
    """Added to both, for a Prometheus that selects by label."""


_A_BROKER = Rule(
    cel="self.exists(p, p.replicas > 0)",
    message="at least one pool must have replicas above 0",
)


class ClusterSpec(Struct):
    """What is wanted."""

    rules = SPEC

    version: Version
    """The brokers' version."""
    image: Image | None = None
    """The brokers' image; by default the operator's image of that version."""
    pools: Annotated[
        tuple[Pool, ...], Field(min_length=1, max_length=16), keyed_by("name", _A_BROKER)
    ]
    """Brokers, in groups that are alike."""
    config: Settings = Field(default_factory=dict)
    """Settings of the brokers, as CONFIG.md lists them. Those that change live are set as
    cluster-wide defaults, the others restart one broker after another."""
    listeners: Listeners = (INTERNAL,)
    """Where clients reach the brokers."""
    etcd: Etcd = Etcd(managed=ManagedEtcd())
    """Where the cluster's metadata lives."""
    access: Access = Access()
    """Topics and Quotas of other namespaces."""
    monitoring: Monitoring = Monitoring()
    """Objects for Prometheus."""
    suspend: bool = False
    """While true the operator changes nothing; brokers go on serving."""
    deletion_protection: bool = False
    """While true the Cluster, its namespace and its definition cannot be deleted."""
    reclaim_policy: Literal["Retain", "Delete"] = "Retain"
    """Whether volumes and etcd's CA stay when the Cluster is deleted."""


class Cluster(Struct):
    """Brokers that share topics, groups and one etcd."""

    rules = (*NAMES, *VOLUMES)

    api_version: Literal["headrace.io/v1alpha1"] = API_VERSION
    kind: Literal["Cluster"] = "Cluster"
    metadata: ObjectMeta
    spec: ClusterSpec
    """What is wanted."""
    status: ClusterStatus = ClusterStatus()
    """What is."""
