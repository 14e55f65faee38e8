"""Listeners of a Cluster: where clients reach the brokers. The control listener is not among them:
brokers and the operator alone use it."""

from typing import Annotated, Literal

from pydantic import Field

from headrace_operator.crd.fields import Port
from headrace_operator.crd.struct import Struct, keyed_by

CONTROL_PORT = 9091
"""Traffic between brokers, and of the operator."""
HTTP_PORT = 9404
"""Metrics, health and status."""


class Listener(Struct):
    """One way for clients to the brokers."""

    name: Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[a-z][a-z0-9]*$")]
    """Stands in the names of its Services; in upper case it is the broker's listener name."""
    type: Literal["Internal", "NodePort", "LoadBalancer"]
    """Internal: from within the Kubernetes cluster. NodePort and LoadBalancer: one Service a
    broker and one to bootstrap from."""
    port: Port
    """The port in the pod; of a LoadBalancer and of the bootstrap Service as well."""
    host_template: Annotated[str | None, Field(max_length=253)] = None
    """Host name that brokers advertise, with {id} for the broker's id; by default the node's
    address (NodePort) or the load balancer's."""
    node_port: Annotated[int | None, Field(ge=1, le=65_535)] = None
    """Fixed port of the bootstrap Service on every node; chosen by Kubernetes where absent."""
    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)
    ] = Field(default_factory=dict)
    """For its Services, such as those that a cloud's load balancer reads."""


Listeners = Annotated[tuple[Listener, ...], keyed_by("name", least=1, most=8)]
INTERNAL = Listener(name="internal", type="Internal", port=9092)
"""What a Cluster has where it says nothing."""
