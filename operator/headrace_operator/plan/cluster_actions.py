"""What can be done for a Cluster, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from headrace_operator.kinds import Key, Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Make the object, or bring the one that is there to this."""

    object: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Destructive: give a StatefulSet another pod template, so its one pod is replaced.

    Done only if the StatefulSet is still the one with that UID and resourceVersion.
    """

    object: Object
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Delete an object without data that the spec no longer asks for: a Service, a ConfigMap."""

    key: Key
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCertificates:
    """Make or renew certificates of the managed etcd; with `new_ca` its CA first."""

    new_ca: bool
    names: tuple[str, ...]
    """Secrets that get a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterBrokerDefaults:
    """Set some cluster-wide settings of the brokers and reset others."""

    set_to: Mapping[str, str]
    reset: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterBrokerAddresses:
    """Give one broker other addresses to tell its clients; with None those of its file."""

    broker: int
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceMember:
    """Destructive: take a member of etcd out whose volume is gone, and count a new one, still
    empty, in its place. Done only if a fresh look finds the same, and all others well."""

    index: int
    peer_url: str
    former: int | None
    """Its id in etcd; None where it is out already, and only the new one is to be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defragment:
    """Let one member of etcd give back the room that it does not use; it pauses meanwhile."""

    index: int


@dataclass(frozen=True, slots=True)
class DisarmAlarm:
    """Let etcd take writes again, now that there is room."""


EtcdAction: TypeAlias = ReplaceMember | Defragment | DisarmAlarm
ClusterAction: TypeAlias = (
    Apply
    | Restart
    | Drop
    | IssueCertificates
    | AlterBrokerDefaults
    | AlterBrokerAddresses
    | EtcdAction
)


def is_destructive(action: ClusterAction) -> bool:
    """Whether it can stop something that runs. Nothing deletes data."""
    return isinstance(action, Restart | ReplaceMember)
