"""What guards the pods: their account without a token, a budget for evictions, network policies."""

from typing import Final

from headrace_operator.build import names
from headrace_operator.build.broker import COMPONENT, ETCD_PORT
from headrace_operator.build.object import make
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.listeners import CONTROL_PORT, HTTP_PORT
from headrace_operator.kinds import (
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    SERVICE_ACCOUNT,
    Object,
)

ETCD_COMPONENT: Final = "etcd"
ETCD_PEER_PORT: Final = 2380
ETCD_METRICS_PORT: Final = 2381


def service_account(cluster: Cluster) -> Object:
    """Pods of a Cluster have nothing to ask of the API server."""
    name = cluster.metadata.name
    return make(SERVICE_ACCOUNT, cluster, name, {"automountServiceAccountToken": False})


def budget(cluster: Cluster, name: str, component: str) -> Object:
    """One pod of that part at a time may be evicted."""
    picked = names.selector(cluster.metadata.name, component)
    return make(
        POD_DISRUPTION_BUDGET,
        cluster,
        name,
        {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": picked}}},
        component=component,
    )


def broker_policy(cluster: Cluster, operator_namespace: str) -> Object:
    """Clients reach their listeners; the control listener admits brokers and the operator only."""
    name = cluster.metadata.name
    clients = [listener.port for listener in cluster.spec.listeners]
    return _policy(
        cluster,
        names.broker_service(name),
        COMPONENT,
        [
            {
                "from": [_pods(cluster, COMPONENT), _operator(operator_namespace)],
                "ports": _ports(CONTROL_PORT),
            },
            {"ports": _ports(*clients, HTTP_PORT)},
        ],
    )


def etcd_policy(cluster: Cluster, operator_namespace: str) -> Object:
    """Members reach each other, brokers and the operator reach members; metrics are open."""
    name = cluster.metadata.name
    members = _pods(cluster, ETCD_COMPONENT)
    clients = [_pods(cluster, COMPONENT), members, _operator(operator_namespace)]
    return _policy(
        cluster,
        names.etcd_service(name),
        ETCD_COMPONENT,
        [
            {"from": clients, "ports": _ports(ETCD_PORT)},
            {"from": [members], "ports": _ports(ETCD_PEER_PORT)},
            {"ports": _ports(ETCD_METRICS_PORT)},
        ],
    )


def _policy(cluster: Cluster, name: str, component: str, ingress: list[Object]) -> Object:
    picked = names.selector(cluster.metadata.name, component)
    spec = {
        "podSelector": {"matchLabels": picked},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    return make(NETWORK_POLICY, cluster, name, {"spec": spec}, component=component)


def _pods(cluster: Cluster, component: str) -> Object:
    picked = names.selector(cluster.metadata.name, component)
    return {"podSelector": {"matchLabels": picked}}


def _operator(namespace: str) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": names.OPERATOR_NAME}},
    }


def _ports(*ports: int) -> list[Object]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
