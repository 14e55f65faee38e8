"""A Cluster beside everything that exists of it: the whole input of its plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import Key, Kind, Object


class Blame(Enum):
    """What keeps a pod from running: what it was told, or where it should run."""

    POD = "pod"
    PLACE = "place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a pod does not run, as a sentence with the cure."""

    blame: Blame
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """The one pod of a StatefulSet, of that very StatefulSet by UID."""

    name: str
    pod_hash: str
    ready: bool
    terminating: bool = False
    node_address: str = ""
    """status.hostIP: where node ports of the pod can be reached."""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a broker says of itself over HTTP."""

    broker_id: int
    epoch: int
    config_hash: str
    ready: bool
    version: str = ""
    cluster_id: str = ""
    progress: str = ""
    """What it does until it is ready, and what that waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberHealth:
    """What an etcd member says of itself on its metrics port."""

    healthy: bool
    alarm: str = ""
    """NOSPACE or CORRUPT, where one is raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSize:
    """The database of an etcd member: what it takes on disk, and how much of that it needs."""

    total_bytes: int
    in_use_bytes: int
    leads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMember:
    """A member as etcd counts it; `name` is empty until it has started."""

    id: int
    name: str
    peer_urls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate in a Secret."""

    not_before: datetime
    not_after: datetime
    hosts: frozenset[str] = frozenset()
    issuer: str = ""
    """Fingerprint of the key that signed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the operator runs with."""

    broker_image: str
    etcd_image: str
    operator_namespace: str
    prometheus: bool = False
    """The API of the Prometheus operator is served."""
    admission_policies: bool | None = None
    """The policies that refuse deletions are bound; None where the operator may not see them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCluster:
    """Everything that a pass knows. What could not be read is absent and never taken for gone:
    a pass whose reads failed has no observation at all."""

    cluster: Cluster
    now: datetime
    surroundings: Surroundings
    objects: Mapping[Key, Object] = field(default_factory=dict)
    """What stands under the names that the Cluster uses, whoever made it."""
    pods: Mapping[str, Pod] = field(default_factory=dict)
    """By StatefulSet."""
    reports: Mapping[int, Report] = field(default_factory=dict)
    """By broker id, of those that answered."""
    members: Mapping[int, MemberHealth] = field(default_factory=dict)
    """By index, of those etcd members that answered."""
    etcd_addresses: Mapping[int, str] = field(default_factory=dict)
    """By index: where the pods of etcd's members are."""
    etcd_sizes: Mapping[int, EtcdSize] = field(default_factory=dict)
    """By index, of those that told."""
    etcd_listed: tuple[ListedMember, ...] | None = None
    """Whom etcd counts as members; None where it was not asked, or did not answer."""
    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    """By Secret."""
    ca_key: str = ""
    """Fingerprint of the CA's key; empty where there is no CA."""
    etcd_secret_keys: frozenset[str] | None = None
    """Of the external etcd's Secret; None where there is none."""
    storage_classes: frozenset[str] | None = None
    """None where they were not read: the operator may not, or nothing asks for it."""
    default_class: bool | None = None
    """Whether one of them is the default; None where they were not read."""
    held: Mapping[int, tuple[str, ...] | None] = field(default_factory=dict)
    """Partitions as topic/number by broker, of those that are to go; None where unknown."""
    own_addresses: Mapping[int, str | None] = field(default_factory=dict)
    """By broker id, of those that were asked and answered: the addresses it was given live, None
    where it goes by its file."""
    defaults: Mapping[str, str] | None = None
    """The cluster-wide settings of the brokers; None where no broker answered."""

    def find(self, kind: Kind, name: str) -> Object | None:
        """The object under that name in the Cluster's namespace."""
        return self.objects.get(Key(kind, self.cluster.metadata.namespace, name))

    def all_of(self, kind: Kind) -> list[Object]:
        """Every observed object of that kind, by name."""
        found = [(key.name, obj) for key, obj in self.objects.items() if key.kind is kind]
        return [obj for _, obj in sorted(found, key=lambda item: item[0])]
