"""The Quota resource: what a user, a client or an address may take from each broker (KIP-546)."""

from typing import Annotated, Literal

from pydantic import Field

from headrace_operator.crd.conditions import Conditions
from headrace_operator.crd.metadata import API_VERSION, ObjectMeta
from headrace_operator.crd.quantity import Quantity
from headrace_operator.crd.struct import Struct
from headrace_operator.crd.topic import ClusterRef

_NAME_CHARACTERS_MAX = 256  # principals and client ids have no bound of Kafka's own
_Rate = Annotated[float, Field(ge=0)]


class Named(Struct):
    """One by name, or the default for all that have no quota of their own."""

    name: Annotated[str, Field(min_length=1, max_length=_NAME_CHARACTERS_MAX)] | None = None
    """The one."""
    default: Literal[True] | None = None
    """All others."""


class Entity(Struct):
    """A user, a client id, both, or an address."""

    user: Named | None = None
    """The authenticated user; ANONYMOUS without authentication."""
    client_id: Named | None = None
    """What the client calls itself."""
    ip: Named | None = None
    """The address that connections come from."""


class Limits(Struct):
    """For each broker, as in Kafka."""

    producer_byte_rate: Quantity | None = None
    """Bytes a second written."""
    consumer_byte_rate: Quantity | None = None
    """Bytes a second read."""
    request_percentage: _Rate | None = None
    """Time of the broker's threads, 100 being one whole thread."""
    controller_mutation_rate: _Rate | None = None
    """Partitions created or deleted a second."""
    connection_creation_rate: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Connections opened a second; goes with ip, and only with it."""


class Effective(Struct):
    """The limits as the brokers have them."""

    producer_byte_rate: _Rate | None = None
    """Bytes a second written."""
    consumer_byte_rate: _Rate | None = None
    """Bytes a second read."""
    request_percentage: _Rate | None = None
    """Percent of one thread."""
    controller_mutation_rate: _Rate | None = None
    """Partitions a second."""
    connection_creation_rate: _Rate | None = None
    """Connections a second."""


class QuotaSpec(Struct):
    """What is wanted."""

    cluster_ref: ClusterRef
    """The Cluster; cannot be changed."""
    entity: Entity
    """Whom it limits; cannot be changed."""
    limits: Limits
    """How much."""


class QuotaStatus(Struct):
    """What is."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The generation of the spec that this is about; -1 where none was looked at yet."""
    effective: Effective | None = None
    """The limits that were set from here, and are reset once they are taken out."""
    conditions: Conditions = ()
    """Ready, Reconciling, Stalled and more."""


class Quota(Struct):
    """Limits of one user, client or address."""

    api_version: Literal["headrace.io/v1alpha1"] = API_VERSION
    kind: Literal["Quota"] = "Quota"
    metadata: ObjectMeta
    spec: QuotaSpec
    """What is wanted."""
    status: QuotaStatus = QuotaStatus()
    """What is."""
