"""Pools of a Cluster: how many brokers, where, on what volumes, with what resources."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from headrace_operator.crd.fields import BrokerId, Label, ObjectName
from headrace_operator.crd.quantity import Quantity, cel_positive
from headrace_operator.crd.struct import Rule, Struct, cel_unchanged, ruled, unordered, whole

POOL_NAME = r"^[a-z][a-z0-9]*$"
"""No hyphen: a StatefulSet is named cluster-pool-id, and two Clusters must never mean the same."""

PoolName = Annotated[str, Field(min_length=1, max_length=30, pattern=POOL_NAME)]
_NOT_ETCD = Rule(
    cel="self != 'etcd'",
    message="a pool must not be named 'etcd': the members of the managed etcd are named so",
)
_SIZE = Rule(cel=cel_positive(), message="size must be a quantity above 0, such as 10Gi")
_ZONES_ONCE = Rule(
    cel="self.all(z, self.exists_one(y, y == z))", message="each zone may be named once"
)
_AMOUNTS = Rule(
    cel="""self.all(k, isQuantity(string(self[k]))
        && !quantity(string(self[k])).isLessThan(quantity('0')))""",
    message="each amount must be a quantity of at least 0, such as 500m or 2Gi",
)
_WITHIN_LIMITS = Rule(
    cel="""!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits)
        || !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k]))
        || !quantity(string(self.requests[k])).isGreaterThan(
            quantity(string(self.limits[k]))))""",
    message="no request may exceed the limit of the same resource",
)
_SAME_CLASS = Rule(
    cel=cel_unchanged("storage.className"),
    message="storage.className of a pool cannot be changed: make another pool",
)
_OPERATORS = ("hostname", "nodeName", "restartPolicy", "serviceAccountName", "subdomain")
_NO_IDENTITY = Rule(
    cel=" && ".join(f"!has(self.{name})" for name in _OPERATORS),
    message=f"podTemplate.spec must not set {', '.join(_OPERATORS)}: the operator sets them",
)
Amounts = Annotated[dict[str, Quantity], Field(max_length=16), ruled(_AMOUNTS)]
"""Resource name to quantity, as in a container."""


class Storage(Struct):
    """The volume of a broker or of an etcd member."""

    size: Annotated[Quantity, ruled(_SIZE)]
    """Size of the volume. It may grow, and may be lowered down to what really exists."""
    class_name: ObjectName | None = None
    """The StorageClass, the Kubernetes cluster's default one where absent; cannot be changed."""


class Resources(Struct):
    """What a container may take, as in a pod."""

    rules = (_WITHIN_LIMITS,)

    requests: Amounts = Field(default_factory=dict)
    """What the scheduler sets aside."""
    limits: Amounts = Field(default_factory=dict)
    """What the kernel holds it to."""


class TemplateMetadata(Struct):
    """Labels and annotations that are added to the pod."""

    labels: Annotated[dict[str, Label], Field(max_length=64)] = Field(default_factory=dict)
    """Added to the pod's labels; those that the operator sets win."""
    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=16_384)]], Field(max_length=64)
    ] = Field(default_factory=dict)
    """Added to the pod's annotations."""


PodSpec = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 64,
            "properties": {name: {"type": "string", "maxLength": 253} for name in _OPERATORS},
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-validations": [_NO_IDENTITY.rendered()],
        }
    ),
]


class PodTemplate(Struct):
    """What is laid over the pod that the operator makes."""

    metadata: TemplateMetadata = TemplateMetadata()
    """Labels and annotations."""
    spec: PodSpec = Field(default_factory=dict)
    """Any part of a pod's spec, merged as `kubectl patch` merges (strategic merge)."""


class Pool(Struct):
    """Brokers that are alike."""

    rules = (_SAME_CLASS,)

    name: Annotated[PoolName, ruled(_NOT_ETCD)]
    """Stands in the names of its StatefulSets."""
    replicas: Annotated[int, Field(ge=0, le=1000)]
    """How many brokers."""
    zones: Annotated[
        tuple[Annotated[Label, Field(min_length=1)], ...], Field(max_length=16), whole(_ZONES_ONCE)
    ] = ()
    """Zones (topology.kubernetes.io/zone) the brokers take in turn. A broker keeps its zone."""
    storage: Storage
    """Each broker's volume."""
    resources: Resources = Resources()
    """Of the broker's container."""
    pod_template: PodTemplate = PodTemplate()
    """Laid over the pod."""
    remove: Annotated[tuple[BrokerId, ...], Field(max_length=64), unordered()] = ()
    """Ids that go first when replicas are lowered; the highest ids where it is empty."""
