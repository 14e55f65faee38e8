"""The Quota resource: what a user, a client or an address may take from each broker (KIP-546)."""

from typing import Annotated, Literal

from pydantic import Field

from headrace_operator.crd.conditions import Conditions
from headrace_operator.crd.metadata import API_VERSION, ObjectMeta
from headrace_operator.crd.quantity import Quantity, cel_positive
from headrace_operator.crd.struct import Rule, Struct, ruled
from headrace_operator.crd.topic import SAME_CLUSTER, ClusterRef

_NAME_CHARACTERS_MAX = 256  # principals and client ids have no bound of Kafka's own
_Rate = Annotated[float, Field(gt=0)]
_BYTES = Rule(cel=cel_positive(), message="a byte rate must be a quantity above 0, such as 10Mi")
_ByteRate = Annotated[Quantity, ruled(_BYTES)]
_LIMITS = (
    "producerByteRate",
    "consumerByteRate",
    "requestPercentage",
    "controllerMutationRate",
    "connectionCreationRate",
)
_NAMED = Rule(
    cel="has(self.name) != has(self.default)",
    message="exactly one of name and default: true must be set",
)
_SOMEBODY = Rule(
    cel="has(self.user) || has(self.clientId) || has(self.ip)",
    message="entity must name a user, a clientId, both, or an ip",
)
_IP_ALONE = Rule(
    cel="!has(self.ip) || (!has(self.user) && !has(self.clientId))",
    message="ip cannot be combined with user or clientId",
)
_ADDRESS = Rule(
    cel="!has(self.ip) || !has(self.ip.name) || isIP(self.ip.name)",
    message="ip.name must be an IPv4 or IPv6 address",
)
_SOMETHING = Rule(
    cel=" || ".join(f"has(self.{name})" for name in _LIMITS),
    message="limits must set at least one limit",
)
_CONNECTIONS = Rule(
    cel="!has(self.entity.ip) || (has(self.limits.connectionCreationRate)"
    + "".join(f" && !has(self.limits.{name})" for name in _LIMITS[:-1])
    + ")",
    message="of an ip only connectionCreationRate can be limited",
)
_NO_CONNECTIONS = Rule(
    cel="has(self.entity.ip) || !has(self.limits.connectionCreationRate)",
    message="connectionCreationRate can be limited for an ip only",
)
_SAME_ENTITY = Rule(cel="self.entity == oldSelf.entity", message="entity cannot be changed")


class Named(Struct):
    """One by name, or the default for all that have no quota of their own."""

    rules = (_NAMED,)

    name: Annotated[str, Field(min_length=1, max_length=_NAME_CHARACTERS_MAX)] | None = None
    """The one."""
    default: Literal[True] | None = None
    """All others."""


class Entity(Struct):
    """A user, a client id, both, or an address."""

    rules = (_SOMEBODY, _IP_ALONE, _ADDRESS)

    user: Named | None = None
    """The authenticated user; ANONYMOUS without authentication."""
    client_id: Named | None = None
    """What the client calls itself."""
    ip: Named | None = None
    """The address that connections come from."""


class Limits(Struct):
    """For each broker, as in Kafka."""

    rules = (_SOMETHING,)

    producer_byte_rate: _ByteRate | None = None
    """Bytes a second written."""
    consumer_byte_rate: _ByteRate | None = None
    """Bytes a second read."""
    request_percentage: _Rate | None = None
    """Time of the broker's threads, 100 being one whole thread."""
    controller_mutation_rate: _Rate | None = None
    """Partitions created or deleted a second."""
    connection_creation_rate: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
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

    rules = (_CONNECTIONS, _NO_CONNECTIONS, _SAME_ENTITY, SAME_CLUSTER)

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
