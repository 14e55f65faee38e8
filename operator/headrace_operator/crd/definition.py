"""The CustomResourceDefinitions: a resource's names, columns and schema in one object."""

from dataclasses import dataclass
from typing import Any, Final

from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.metadata import GROUP, VERSION
from headrace_operator.crd.quota import Quota
from headrace_operator.crd.schema import structural_schema
from headrace_operator.crd.struct import Struct
from headrace_operator.crd.topic import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of `kubectl get`; one of priority 1 is shown with `-o wide` alone."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A resource: its model, and what it is called."""

    model: type[Struct]
    kind: str
    plural: str
    short: str
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The definition's name."""
        return f"{self.plural}.{GROUP}"


def _condition(kind: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


_READY: Final = Column(name="Ready", path=_condition("Ready", "status"))
_AGE: Final = Column(name="Age", path=".metadata.creationTimestamp", type="date")
_MESSAGE: Final = _condition("Ready", "message")

CLUSTER: Final = Kind(
    model=Cluster,
    kind="Cluster",
    plural="clusters",
    short="kcl",
    columns=(
        _READY,
        Column(name="Brokers", path=".status.brokers", type="integer"),
        Column(name="Serving", path=".status.readyBrokers", type="integer"),
        Column(name="Version", path=".status.version"),
        Column(name="Status", path=_MESSAGE),
        _AGE,
    ),
)
TOPIC: Final = Kind(
    model=Topic,
    kind="Topic",
    plural="topics",
    short="ktp",
    columns=(
        Column(name="Cluster", path=".spec.clusterRef.name"),
        Column(name="Partitions", path=".status.partitions", type="integer"),
        Column(name="RF", path=".status.replicationFactor", type="integer"),
        _READY,
        Column(name="Status", path=_MESSAGE, priority=1),
        _AGE,
    ),
)
QUOTA: Final = Kind(
    model=Quota,
    kind="Quota",
    plural="quotas",
    short="kq",
    columns=(
        Column(name="Cluster", path=".spec.clusterRef.name"),
        Column(name="User", path=".spec.entity.user['name','default']"),
        Column(name="Client", path=".spec.entity.clientId['name','default']"),
        Column(name="IP", path=".spec.entity.ip['name','default']"),
        Column(name="Produce", path=".spec.limits.producerByteRate"),
        Column(name="Consume", path=".spec.limits.consumerByteRate"),
        _READY,
        Column(name="Status", path=_MESSAGE, priority=1),
        _AGE,
    ),
)
KINDS: Final = (CLUSTER, TOPIC, QUOTA)


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.name, "labels": {"app.kubernetes.io/part-of": "headrace"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["headrace"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(one) for one in kind.columns],
                    "schema": {"openAPIV3Schema": _root(kind.model)},
                }
            ],
        },
    }


def _root(model: type[Struct]) -> dict[str, Any]:
    """The API server itself checks apiVersion, kind and metadata."""
    schema = structural_schema(model)
    properties = schema["properties"]
    properties["apiVersion"] = properties["kind"] = {"type": "string"}
    properties["metadata"] = {"type": "object"}
    return {**schema, "properties": properties, "required": ["spec"]}


def _column(column: Column) -> dict[str, Any]:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**shown, "priority": column.priority} if column.priority else shown
