"""Pools of a Cluster: how many brokers, where, on what volumes, with what resources."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from headrace_operator.crd.fields import BrokerId, Label, ObjectName
from headrace_operator.crd.quantity import Quantity
from headrace_operator.crd.struct import Struct, unordered, whole

POOL_NAME = r"^[a-z][a-z0-9]*$"
"""No hyphen: a StatefulSet is named cluster-pool-id, and two Clusters must never mean the same."""

PoolName = Annotated[str, Field(min_length=1, max_length=30, pattern=POOL_NAME)]
Amounts = Annotated[dict[str, Quantity], Field(max_length=16)]
"""Resource name to quantity, as in a container."""


class Storage(Struct):
    """The volume of a broker or of an etcd member."""

    size: Quantity
    """Size of the volume. It may grow, and may be lowered down to what really exists."""
    class_name: ObjectName | None = None
    """The StorageClass, the Kubernetes cluster's default one where absent; cannot be changed."""


class Resources(Struct):
    """What a container may take, as in a pod."""

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
            "x-kubernetes-preserve-unknown-fields": True,
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

    name: PoolName
    """Stands in the names of its StatefulSets."""
    replicas: Annotated[int, Field(ge=0, le=1000)]
    """How many brokers."""
    zones: Annotated[tuple[Annotated[Label, Field(min_length=1)], ...], whole(most=16)] = ()
    """Zones (topology.kubernetes.io/zone) the brokers take in turn. A broker keeps its zone."""
    storage: Storage
    """Each broker's volume."""
    resources: Resources = Resources()
    """Of the broker's container."""
    pod_template: PodTemplate = PodTemplate()
    """Laid over the pod."""
    remove: Annotated[tuple[BrokerId, ...], unordered(most=64)] = ()
    """Ids that go first when replicas are lowered; the highest ids where it is empty."""
