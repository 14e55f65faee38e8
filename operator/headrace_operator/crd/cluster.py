"""The Cluster resource: brokers, their listeners, their settings and their etcd."""

from typing import Annotated, Literal

from pydantic import Field

from headrace_operator.crd.cluster_status import ClusterStatus
from headrace_operator.crd.etcd import Etcd, ManagedEtcd
from headrace_operator.crd.fields import LABEL_CHARACTERS_MAX, Image, Label
from headrace_operator.crd.listeners import INTERNAL, Listeners
from headrace_operator.crd.metadata import API_VERSION, ObjectMeta
from headrace_operator.crd.pools import Pool
from headrace_operator.crd.struct import Struct, keyed_by, unordered

Version = Annotated[
    str, Field(max_length=63, pattern=r"^[0-9]+\.[0-9]+\.[0-9]+([-.+][0-9A-Za-z][-.0-9A-Za-z]*)?$")
]
ConfigMap = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=256)]
"""Setting to value, both as text."""


Admitted = Annotated[
    str, Field(max_length=LABEL_CHARACTERS_MAX, pattern=r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$")
]


class Access(Struct):
    """Who may use the Cluster from another namespace."""

    namespaces: Annotated[tuple[Admitted, ...], unordered(most=256)] = ()
    """Namespaces whose Topics and Quotas are admitted beside the Cluster's own; "*" is every."""


class Monitoring(Struct):
    """Objects of the Prometheus operator, made where its API is served."""

    pod_monitor: bool = False
    """Make a PodMonitor for the brokers."""
    prometheus_rule: bool = False
    """Make a PrometheusRule with alerts."""
    labels: Annotated[dict[str, Label], Field(max_length=32)] = Field(default_factory=dict)
    """Added to both, for a Prometheus that selects by label."""


class ClusterSpec(Struct):
    """What is wanted."""

    version: Version
    """The brokers' version."""
    image: Image | None = None
    """The brokers' image; by default the operator's image of that version."""
    pools: Annotated[tuple[Pool, ...], keyed_by("name", least=1, most=16)]
    """Brokers, in groups that are alike."""
    config: ConfigMap = Field(default_factory=dict)
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

    api_version: Literal["headrace.io/v1alpha1"] = API_VERSION
    kind: Literal["Cluster"] = "Cluster"
    metadata: ObjectMeta
    spec: ClusterSpec
    """What is wanted."""
    status: ClusterStatus = ClusterStatus()
    """What is."""
