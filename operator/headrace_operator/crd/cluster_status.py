"""What the operator says about a Cluster."""

from typing import Annotated

from pydantic import Field

from headrace_operator.crd.conditions import Conditions
from headrace_operator.crd.fields import NAME_CHARACTERS_MAX, BrokerId, Label, Text
from headrace_operator.crd.pools import PoolName
from headrace_operator.crd.quantity import Quantity
from headrace_operator.crd.struct import Struct, keyed_by, whole

_Count = Annotated[int, Field(ge=0)]


class BrokerStatus(Struct):
    """One broker that has a volume."""

    id: BrokerId
    """Its id, never given to another one while the volume exists."""
    zone: Label | None = None
    """The zone it was given once and for all."""
    ready: bool = False
    """Registered, recovered, and of the wanted settings."""


class PoolStatus(Struct):
    """One pool whose volumes exist, also after it has left the spec."""

    name: PoolName
    """The pool."""
    storage_size: Quantity | None = None
    """Size of the largest volume that really exists; spec must not go below it."""
    storage_class_name: Annotated[str | None, Field(max_length=NAME_CHARACTERS_MAX)] = None
    """The className that its volumes were made with, empty where spec named none."""
    brokers: Annotated[tuple[BrokerStatus, ...], Field(max_length=1000), keyed_by("id")] = ()
    """Its brokers."""


class ListenerStatus(Struct):
    """Where clients find the brokers."""

    name: Annotated[str, Field(max_length=15)]
    """The listener."""
    bootstrap: Text | None = None
    """host:port to start from, absent until it is known."""


class EtcdStatus(Struct):
    """The managed etcd."""

    members: _Count = 0
    """Members that are wanted."""
    ready_members: _Count = 0
    """Members that answer."""
    storage_size: Quantity | None = None
    """Size of the largest volume that really exists."""


class Rollout(Struct):
    """A restart of the brokers, one at a time."""

    hash: Label
    """Of the settings and the pod that every broker is to have."""
    broker: BrokerId | None = None
    """The broker that restarts now."""
    epoch: _Count | None = None
    """Its broker epoch before; the next one waits until it has a later one."""
    remaining: _Count = 0
    """Brokers that still have older settings."""
    blocked_by: Annotated[tuple[Text, ...], Field(max_length=20), whole()] = ()
    """What holds it up, one sentence each."""


class ClusterStatus(Struct):
    """All of it."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The generation of the spec that this is about; -1 where none was looked at yet."""
    cluster_id: Annotated[str | None, Field(max_length=64)] = None
    """Kafka's cluster id."""
    version: Label | None = None
    """The version that every broker runs."""
    brokers: _Count | None = None
    """Brokers that are wanted."""
    ready_brokers: _Count | None = None
    """Brokers that serve."""
    pools: Annotated[tuple[PoolStatus, ...], Field(max_length=64), keyed_by("name")] = ()
    """Pools that have volumes."""
    listeners: Annotated[tuple[ListenerStatus, ...], Field(max_length=8), keyed_by("name")] = ()
    """Where clients find the brokers."""
    etcd: EtcdStatus | None = None
    """The managed etcd."""
    rollout: Rollout | None = None
    """The restart that is under way or was last."""
    conditions: Conditions = ()
    """Ready, Reconciling, Stalled, Available and more."""
