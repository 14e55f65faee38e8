"""Names and labels of everything that a Cluster makes, in one place.

A StatefulSet's name must leave room for the hash that its controller appends, so it stays within
52 characters; the definitions bound Cluster, pool and listener names to that end.
"""

import re
from typing import Final

GROUP: Final = "headrace.io"
CLUSTER_LABEL: Final = f"{GROUP}/cluster"
POOL_LABEL: Final = f"{GROUP}/pool"
BROKER_LABEL: Final = f"{GROUP}/broker-id"
MEMBER_LABEL: Final = f"{GROUP}/etcd-member"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"

POD_HASH: Final = f"{GROUP}/pod-hash"
"""On a StatefulSet and its pod: of the pod and the settings it was rendered with."""
RENDERED: Final = f"{GROUP}/rendered"
"""On every object: of what was applied, so that a part which is no longer wanted is seen."""
ZONE: Final = f"{GROUP}/zone"
"""On a broker's volume: the zone it was given once."""
POOL: Final = f"{GROUP}/pool"
"""On a broker's volume, as an annotation: the pool that it was made for."""
EPOCH_BEFORE: Final = f"{GROUP}/epoch-before"
"""On a StatefulSet: the broker epoch that its broker had when it was last told to restart."""
INITIALIZED: Final = f"{GROUP}/initialized"
"""On an etcd volume: etcd has been whole once, so an empty volume in its place is a loss."""
MEMBERS: Final = f"{GROUP}/etcd-members"
"""On an etcd volume: how many members its etcd was made with."""

OPERATOR_NAME: Final = "headrace-operator"
"""app.kubernetes.io/name of the operator's own pods: the control listener admits them."""


def labels(cluster: str, component: str = "") -> dict[str, str]:
    """The labels of an object of that Cluster."""
    found = {
        "app.kubernetes.io/name": "headrace",
        "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/managed-by": OPERATOR_NAME,
        CLUSTER_LABEL: cluster,
    }
    return found | {COMPONENT_LABEL: component} if component else found


def selector(cluster: str, component: str) -> dict[str, str]:
    """What picks the pods of one part of a Cluster."""
    return {CLUSTER_LABEL: cluster, COMPONENT_LABEL: component}


def broker_set(cluster: str, pool: str, broker_id: int) -> str:
    """The StatefulSet of a broker."""
    return f"{cluster}-{pool}-{broker_id}"


def broker_of_set(cluster: str, name: str) -> tuple[str, int] | None:
    """Pool and id in a StatefulSet's name, which nobody can change; None for another name."""
    found = re.fullmatch(re.escape(cluster) + r"-([a-z][a-z0-9]*)-([0-9]{1,6})", name)
    return None if found is None or found[1] == "etcd" else (found[1], int(found[2]))


def pod(stateful_set: str) -> str:
    """The one pod of a StatefulSet."""
    return f"{stateful_set}-0"


def broker_volume(cluster: str, broker_id: int) -> str:
    """The PersistentVolumeClaim of a broker: an id has one volume, whatever its pool."""
    return f"{cluster}-broker-{broker_id}"


def broker_of_volume(cluster: str, name: str) -> int | None:
    """The id in a broker volume's name; None for another name."""
    found = re.fullmatch(re.escape(cluster) + r"-broker-([0-9]{1,6})", name)
    return None if found is None else int(found[1])


def broker_service(cluster: str) -> str:
    """The headless Service that names the brokers' pods."""
    return f"{cluster}-brokers"


def bootstrap_service(cluster: str) -> str:
    """Where clients inside the Kubernetes cluster start."""
    return f"{cluster}-bootstrap"


def listener_service(cluster: str, listener: str, broker_id: int | None) -> str:
    """One broker's Service of a NodePort or LoadBalancer listener, or its bootstrap Service."""
    return f"{cluster}-{listener}-{'bootstrap' if broker_id is None else broker_id}"


def broker_host(cluster: str, namespace: str, pool: str, broker_id: int) -> str:
    """The DNS name of a broker's pod."""
    set_name = broker_set(cluster, pool, broker_id)
    return f"{pod(set_name)}.{broker_service(cluster)}.{namespace}.svc"


def etcd_member(cluster: str, index: int) -> str:
    """The name of a member: of its StatefulSet and its volume."""
    return f"{cluster}-etcd-{index}"


def member_of(cluster: str, name: str) -> int | None:
    """The index in a member's name; None for another name."""
    found = re.fullmatch(re.escape(cluster) + r"-etcd-([0-9])", name)
    return None if found is None else int(found[1])


def etcd_service(cluster: str) -> str:
    """The headless Service that names etcd's pods; of its ConfigMap, budget and policy as well."""
    return f"{cluster}-etcd"


def etcd_client_service(cluster: str) -> str:
    """The Service of the members that answer."""
    return f"{cluster}-etcd-client"


def etcd_host(cluster: str, namespace: str, index: int) -> str:
    """The DNS name of a member's pod."""
    return f"{pod(etcd_member(cluster, index))}.{etcd_service(cluster)}.{namespace}.svc"


def etcd_ca(cluster: str) -> str:
    """The Secret with the CA of the managed etcd, its key included: for the operator alone."""
    return f"{cluster}-etcd-ca"


def etcd_server_certificate(cluster: str) -> str:
    """The Secret with the members' certificate."""
    return f"{cluster}-etcd-server"


def etcd_client_certificate(cluster: str) -> str:
    """The Secret with the brokers' certificate."""
    return f"{cluster}-etcd-client"
