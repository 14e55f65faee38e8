"""The kinds of objects the operator reads or writes, and where the API server keeps them."""

from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]
"""An object of the API as JSON gives it."""

GROUP: Final = "headrace.io"
VERSION: Final = "v1alpha1"


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind. The constants below are the only instances, so identity is equality."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str = "") -> str:
        """The URL path of one object or, without a name, of the collection.

        Without a namespace the collection of a namespaced kind spans all namespaces.
        """
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            base += f"/namespaces/{namespace}"
        parts = [part for part in (self.plural, name, subresource) if part]
        return "/".join([base, *parts])

    def __repr__(self) -> str:
        return self.name


CLUSTER: Final = Kind(GROUP, VERSION, "clusters", "Cluster")
TOPIC: Final = Kind(GROUP, VERSION, "topics", "Topic")
QUOTA: Final = Kind(GROUP, VERSION, "quotas", "Quota")

POD: Final = Kind("", "v1", "pods", "Pod")
SERVICE: Final = Kind("", "v1", "services", "Service")
CONFIG_MAP: Final = Kind("", "v1", "configmaps", "ConfigMap")
SECRET: Final = Kind("", "v1", "secrets", "Secret")
SERVICE_ACCOUNT: Final = Kind("", "v1", "serviceaccounts", "ServiceAccount")
PERSISTENT_VOLUME_CLAIM: Final = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
NODE: Final = Kind("", "v1", "nodes", "Node", namespaced=False)
NAMESPACE: Final = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
STATEFUL_SET: Final = Kind("apps", "v1", "statefulsets", "StatefulSet")
JOB: Final = Kind("batch", "v1", "jobs", "Job")
POD_DISRUPTION_BUDGET: Final = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICY: Final = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
STORAGE_CLASS: Final = Kind(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
)
LEASE: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
EVENT: Final = Kind("events.k8s.io", "v1", "events", "Event")
POD_MONITOR: Final = Kind("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor")
PROMETHEUS_RULE: Final = Kind("monitoring.coreos.com", "v1", "prometheusrules", "PrometheusRule")
CRD: Final = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)
ADMISSION_BINDING: Final = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)

ALL: Final = (
    CLUSTER,
    TOPIC,
    QUOTA,
    POD,
    SERVICE,
    CONFIG_MAP,
    SECRET,
    SERVICE_ACCOUNT,
    PERSISTENT_VOLUME_CLAIM,
    NODE,
    NAMESPACE,
    STATEFUL_SET,
    JOB,
    POD_DISRUPTION_BUDGET,
    NETWORK_POLICY,
    STORAGE_CLASS,
    LEASE,
    EVENT,
    POD_MONITOR,
    PROMETHEUS_RULE,
    CRD,
    ADMISSION_BINDING,
)

_BY_NAME: Final = {(kind.api_version, kind.name): kind for kind in ALL}


def kind_of(obj: Object) -> Kind:
    """The kind that an object's apiVersion and kind name. Raises KeyError for a foreign one."""
    return _BY_NAME[obj["apiVersion"], obj["kind"]]


@dataclass(frozen=True, slots=True, order=False)
class Key:
    """Which object; `namespace` is empty for what has none."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind.name} {where}"


def key_of(kind: Kind, obj: Object) -> Key:
    """The key of an object of that kind (items of a LIST carry no kind of their own)."""
    metadata = obj["metadata"]
    return Key(kind, metadata.get("namespace", ""), metadata["name"])
