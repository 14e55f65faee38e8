"""The etcd of a Cluster: managed by the operator, or one that is there."""

from typing import Annotated, Literal

from pydantic import Field

from headrace_operator.crd.fields import Image, ObjectName
from headrace_operator.crd.pools import Resources, Storage
from headrace_operator.crd.struct import Rule, Struct, whole

Endpoint = Annotated[
    str,
    Field(
        max_length=260,
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?):[0-9]{1,5}$",
    ),
]
"""host:port."""


class ManagedEtcd(Struct):
    """An etcd that the operator runs beside the brokers."""

    members: Literal[1, 3] = 3
    """1 or 3; cannot be changed. With 1 the cluster's metadata is on one volume."""
    storage: Storage = Storage(size="4Gi")
    """Each member's volume."""
    image: Image | None = None
    """etcd 3.6.9 or newer; by default the one this operator was tested with."""
    resources: Resources = Resources()
    """Of etcd's container."""


class ExternalEtcd(Struct):
    """An etcd, 3.6.9 or newer, that somebody else runs."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=16), whole()]
    """host:port of its members."""
    secret: ObjectName
    """A Secret in the Cluster's namespace: ca.crt, tls.crt, tls.key, username, password, those
    that this etcd asks for. Without ca.crt the connection is not encrypted."""


class Etcd(Struct):
    """Exactly one of the two."""

    rules = (
        Rule(
            cel="has(self.managed) != has(self.external)",
            message="etcd must have exactly one of managed and external",
        ),
    )

    managed: ManagedEtcd | None = None
    """Run by the operator."""
    external: ExternalEtcd | None = None
    """Run by somebody else."""
