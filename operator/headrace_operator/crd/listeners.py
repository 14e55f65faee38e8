"""Listeners of a Cluster: where clients reach the brokers. The control listener is not among them:
brokers and the operator alone use it."""

from typing import Annotated, Literal

from pydantic import Field

from headrace_operator.crd.fields import Port
from headrace_operator.crd.struct import Rule, Struct, keyed_by, ruled

CONTROL_PORT = 9091
"""Traffic between brokers, and of the operator."""
HTTP_PORT = 9404
"""Metrics, health and status."""


_RESERVED_NAMES = ("bootstrap", "broker", "brokers", "control", "etcd")
_NAME = Rule(
    cel=f"!(self in [{', '.join(repr(name) for name in _RESERVED_NAMES)}])",
    message=f"a listener must not be named {', '.join(_RESERVED_NAMES)}: the operator uses these"
    " names",
)
_PORT = Rule(
    cel=f"!(self in [{CONTROL_PORT}, {HTTP_PORT}])",
    message=f"ports {CONTROL_PORT} (between brokers) and {HTTP_PORT} (metrics) are taken",
)
_OUTSIDE = Rule(
    cel="self.type != 'Internal' || (!has(self.hostTemplate) && !has(self.annotations))",
    message="hostTemplate and annotations are for listeners of type NodePort and LoadBalancer",
)
_NODE_PORT = Rule(
    cel="self.type == 'NodePort' || !has(self.nodePort)",
    message="nodePort is for listeners of type NodePort",
)


class Listener(Struct):
    """One way for clients to the brokers."""

    rules = (_OUTSIDE, _NODE_PORT)

    name: Annotated[
        str, Field(min_length=1, max_length=15, pattern=r"^[a-z][a-z0-9]*$"), ruled(_NAME)
    ]
    """Stands in the names of its Services; in upper case it is the broker's listener name."""
    type: Literal["Internal", "NodePort", "LoadBalancer"]
    """Internal: from within the Kubernetes cluster. NodePort and LoadBalancer: one Service a
    broker and one to bootstrap from."""
    port: Annotated[Port, ruled(_PORT)]
    """The port in the pod; of a LoadBalancer and of the bootstrap Service as well."""
    host_template: Annotated[
        str | None, Field(max_length=253, pattern=r"^[-.A-Za-z0-9]*\{id\}[-.A-Za-z0-9]*$")
    ] = None
    """Host name that brokers advertise, with {id} for the broker's id; by default the node's
    address (NodePort) or the load balancer's."""
    node_port: Annotated[int | None, Field(ge=1, le=65_535)] = None
    """Fixed port of the bootstrap Service on every node; chosen by Kubernetes where absent."""
    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)
    ] = Field(default_factory=dict)
    """For its Services, such as those that a cloud's load balancer reads."""


_PORTS_ONCE = Rule(
    cel="self.all(l, self.exists_one(m, m.port == l.port))",
    message="each listener must have a port of its own",
)
_NODE_PORTS_ONCE = Rule(
    cel="""self.all(l, !has(l.nodePort)
        || self.exists_one(m, has(m.nodePort) && m.nodePort == l.nodePort))""",
    message="each listener must have a nodePort of its own",
)
_ONE_INTERNAL = Rule(
    cel="self.exists_one(l, l.type == 'Internal')",
    message="exactly one listener must be of type Internal",
)
Listeners = Annotated[
    tuple[Listener, ...],
    Field(min_length=1, max_length=8),
    keyed_by("name", _PORTS_ONCE, _NODE_PORTS_ONCE, _ONE_INTERNAL),
]
INTERNAL = Listener(name="internal", type="Internal", port=9092)
"""What a Cluster has where it says nothing."""
