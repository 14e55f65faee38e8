"""Services: the brokers' names, where clients start, and one a broker for listeners outside."""

from headrace_operator.build import names
from headrace_operator.build.broker import COMPONENT, HTTP_PORT_NAME, pod_selector
from headrace_operator.build.facts import Broker
from headrace_operator.build.object import make
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.listeners import CONTROL_PORT, HTTP_PORT, Listener
from headrace_operator.kinds import SERVICE, Object


def render_services(cluster: Cluster, brokers: tuple[Broker, ...]) -> list[Object]:
    """All Services of the brokers."""
    found = [_headless(cluster)]
    internal = [item for item in cluster.spec.listeners if item.type == "Internal"]
    if internal:
        ports = [service_port(item.name, item.port) for item in internal]
        found.append(
            make(
                SERVICE,
                cluster,
                names.bootstrap_service(cluster.metadata.name),
                {"spec": {"type": "ClusterIP", "selector": _every(cluster), "ports": ports}},
                component=COMPONENT,
            )
        )
    for listener in cluster.spec.listeners:
        if listener.type != "Internal":
            found.append(_outside(cluster, listener, None))
            found += [_outside(cluster, listener, broker) for broker in brokers]
    return found


def service_port(name: str, port: int) -> Object:
    """A port of a Service and of the pods behind it."""
    return {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}


def _every(cluster: Cluster) -> dict[str, str]:
    return names.selector(cluster.metadata.name, COMPONENT)


def _headless(cluster: Cluster) -> Object:
    """Brokers find each other, and the operator finds them, before they are ready."""
    ports = {"control": CONTROL_PORT, HTTP_PORT_NAME: HTTP_PORT}
    ports |= {item.name: item.port for item in cluster.spec.listeners}
    return make(
        SERVICE,
        cluster,
        names.broker_service(cluster.metadata.name),
        {
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": _every(cluster),
                "ports": [service_port(name, port) for name, port in ports.items()],
            }
        },
        component=COMPONENT,
    )


def _outside(cluster: Cluster, listener: Listener, broker: Broker | None) -> Object:
    """A Service of a NodePort or LoadBalancer listener: to one broker, or to any."""
    port = service_port(listener.name, listener.port)
    if broker is None and listener.node_port is not None:
        port["nodePort"] = listener.node_port
    picked = _every(cluster) if broker is None else pod_selector(cluster, broker.id)
    marks = {} if broker is None else {names.BROKER_LABEL: str(broker.id)}
    return make(
        SERVICE,
        cluster,
        names.listener_service(
            cluster.metadata.name, listener.name, None if broker is None else broker.id
        ),
        {"spec": {"type": listener.type, "selector": picked, "ports": [port]}},
        component=COMPONENT,
        extra_labels=marks,
        annotations=listener.annotations,
    )
