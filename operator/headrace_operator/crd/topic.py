"""The Topic resource: one topic of a Cluster."""

from typing import Annotated, Literal

from headrace.base.image import INTERNAL_TOPICS
from pydantic import Field

from headrace_operator.crd.conditions import Conditions
from headrace_operator.crd.fields import Namespace, ObjectName
from headrace_operator.crd.metadata import API_VERSION, ObjectMeta
from headrace_operator.crd.struct import Rule, Struct, ruled, unordered

TOPIC_CONFIG_MAX = 128
TOPIC_CHARACTERS_MAX = 249

_FORBIDDEN = Rule(
    cel="!(self in ['.', '..'])", message="Kafka forbids the topic names '.' and '..'"
)
_INTERNAL = Rule(
    cel=f"!(self in [{', '.join(repr(name) for name in sorted(INTERNAL_TOPICS))}])",
    message=f"{', '.join(sorted(INTERNAL_TOPICS))} belong to the brokers",
)
_NAME_FITS = Rule(
    cel=f"has(self.spec.topicName) || size(self.metadata.name) <= {TOPIC_CHARACTERS_MAX}",
    message=f"metadata.name has more than the {TOPIC_CHARACTERS_MAX} characters of a topic's"
    " name: set spec.topicName",
)
_SAME_NAME = Rule(
    cel="""(has(self.spec.topicName) ? self.spec.topicName : self.metadata.name)
        == (has(oldSelf.spec.topicName) ? oldSelf.spec.topicName : oldSelf.metadata.name)""",
    message="the topic's name cannot be changed: make another Topic",
)
SAME_CLUSTER = Rule(
    cel="self.clusterRef == oldSelf.clusterRef", message="clusterRef cannot be changed"
)

TopicName = Annotated[
    str,
    Field(min_length=1, max_length=TOPIC_CHARACTERS_MAX, pattern=r"^[A-Za-z0-9._-]+$"),
    ruled(_FORBIDDEN, _INTERNAL),
]
_Key = Annotated[str, Field(max_length=253)]


class ClusterRef(Struct):
    """The Cluster that a Topic or a Quota belongs to."""

    name: ObjectName
    """Its name."""
    namespace: Namespace | None = None
    """Its namespace, the object's own where absent; another one must be admitted by the
    Cluster's access."""


class TopicSpec(Struct):
    """What is wanted."""

    rules = (SAME_CLUSTER,)

    cluster_ref: ClusterRef
    """The Cluster; cannot be changed."""
    topic_name: TopicName | None = None
    """The topic's name, the object's where absent; cannot be changed."""
    partitions: Annotated[int, Field(ge=1, le=10_000)]
    """How many partitions; a topic never gets fewer."""
    config: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=TOPIC_CONFIG_MAX)
    ] = Field(default_factory=dict)
    """Settings of the topic. Those not named here are left alone, one that is taken out is
    reset."""
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """Whether the topic stays when this object is deleted."""
    drift_policy: Literal["Correct", "Report"] = "Correct"
    """Whether a change from elsewhere is undone or only reported."""
    adoption: Literal["IfCompatible", "Never"] = "IfCompatible"
    """Whether a topic that is there already is taken over."""


class TopicStatus(Struct):
    """What is."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The generation of the spec that this is about; -1 where none was looked at yet."""
    topic_id: Annotated[str | None, Field(max_length=64)] = None
    """Kafka's topic id."""
    topic_name: Annotated[str | None, Field(max_length=253)] = None
    """The topic's name."""
    partitions: Annotated[int, Field(ge=0)] | None = None
    """How many partitions there are."""
    replication_factor: Annotated[int, Field(ge=0)] | None = None
    """How many replicas each has."""
    managed_config: Annotated[
        tuple[_Key, ...], Field(max_length=TOPIC_CONFIG_MAX), unordered()
    ] = ()
    """Settings that were set from here, and are reset once they are taken out."""
    applied_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation that was carried out; what differs since then was changed elsewhere."""
    conditions: Conditions = ()
    """Ready, Reconciling, Stalled and more."""


class Topic(Struct):
    """A topic of a Cluster."""

    rules = (_NAME_FITS, _SAME_NAME)

    api_version: Literal["headrace.io/v1alpha1"] = API_VERSION
    kind: Literal["Topic"] = "Topic"
    metadata: ObjectMeta
    spec: TopicSpec
    """What is wanted."""
    status: TopicStatus = TopicStatus()
    """What is."""

    @property
    def topic_name(self) -> str:
        """The name that clients use."""
        return self.spec.topic_name or self.metadata.name
