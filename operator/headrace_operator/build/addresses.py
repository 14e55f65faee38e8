"""Addresses that brokers get to know while they run: those that a load balancer gives.

A broker's settings file says what is known when it is written. What a load balancer gives comes
later and may change, and costs no restart: it becomes the broker's own `advertised.listeners`.
"""

from headrace_operator.build import names
from headrace_operator.build.broker import file_host
from headrace_operator.build.facts import Broker, Facts
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.listeners import CONTROL_PORT, Listener


def is_live(listener: Listener) -> bool:
    """Whether a load balancer says where clients find this listener."""
    return listener.type == "LoadBalancer" and listener.host_template is None


def live_addresses(cluster: Cluster, broker: Broker, facts: Facts) -> str | None:
    """The broker's own `advertised.listeners`; None where its file says it all.

    Raises LookupError while it cannot be told what to say of a node port beside it.
    """
    known = {
        listener.name: address
        for listener in cluster.spec.listeners
        if is_live(listener) and (address := _balancer(cluster, broker, listener, facts))
    }
    if not known:
        return None
    found = [f"CONTROL://{_own_name(cluster, broker)}:{CONTROL_PORT}"]
    for listener in cluster.spec.listeners:
        host = known.get(listener.name) or file_host(cluster, broker, listener)
        port = listener.port
        if listener.type == "NodePort":
            service = names.listener_service(cluster.metadata.name, listener.name, broker.id)
            port = facts.node_ports[service]
            if listener.host_template is None:
                host = facts.nodes[broker.id]
        if host is not None:
            found.append(f"{listener.name.upper()}://{bracketed(host)}:{port}")
    return ",".join(found)


def bracketed(host: str) -> str:
    """A host as it stands before a port: an IPv6 address in brackets (RFC 3986)."""
    return f"[{host}]" if ":" in host else host


def _own_name(cluster: Cluster, broker: Broker) -> str:
    metadata = cluster.metadata
    return names.broker_host(metadata.name, metadata.namespace, broker.pool.name, broker.id)


def _balancer(cluster: Cluster, broker: Broker, listener: Listener, facts: Facts) -> str | None:
    service = names.listener_service(cluster.metadata.name, listener.name, broker.id)
    return facts.addresses.get(service)
