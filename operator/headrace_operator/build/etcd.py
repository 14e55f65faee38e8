"""The managed etcd of a Cluster: one StatefulSet and one volume a member, Services, budget, policy.

Whether a start may form a new cluster stands in a ConfigMap that only a container's start reads:
once etcd has been whole the operator turns it to `existing`, without a restart, and from then on a
member that finds an empty volume stops instead of serving an empty cluster.
Source of the flags: `etcd --help` of etcd 3.6.16.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.broker import ETCD_PORT, claim
from headrace_operator.build.facts import Facts
from headrace_operator.build.object import digest, make
from headrace_operator.build.pod_parts import container_security, pod_security, probe, spread
from headrace_operator.build.protection import (
    ETCD_COMPONENT,
    ETCD_METRICS_PORT,
    ETCD_PEER_PORT,
    budget,
    etcd_policy,
)
from headrace_operator.build.services import service_port
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.etcd import ManagedEtcd
from headrace_operator.crd.quantity import whole_amount
from headrace_operator.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    Object,
)

QUOTA_BYTES_MAX: Final = 2 * 2**30
"""etcd's own default; half the volume where that is less, so that a defragmentation has room."""
COMPACTION_RETENTION: Final = "1h"
"""History that a watch can resume from; brokers that were away longer read everything anew."""
CONTAINER: Final = "etcd"
METRICS_PORT_NAME: Final = "metrics"
DATA_FOLDER: Final = "/var/lib/etcd"
TLS_FOLDER: Final = "/etc/etcd"
INITIAL_STATE: Final = "ETCD_INITIAL_CLUSTER_STATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedMember:
    """The objects of one member. `pod_hash` changes with anything that restarts it."""

    index: int
    stateful_set: Object
    volume: Object
    pod_hash: str


def render_etcd(cluster: Cluster, etcd: ManagedEtcd, facts: Facts) -> list[Object]:
    """What all members share."""
    name = cluster.metadata.name
    picked = names.selector(name, ETCD_COMPONENT)
    client = service_port("client", ETCD_PORT)
    headless = {
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": picked,
        "ports": [client, service_port("peer", ETCD_PEER_PORT)],
    }
    front = {"type": "ClusterIP", "selector": picked, "ports": [client]}
    state = {INITIAL_STATE: "existing" if facts.etcd_initialized else "new"}
    services = {names.etcd_service(name): headless, names.etcd_client_service(name): front}
    return [
        *(
            make(SERVICE, cluster, service, {"spec": spec}, component=ETCD_COMPONENT)
            for service, spec in services.items()
        ),
        make(
            CONFIG_MAP,
            cluster,
            names.etcd_service(name),
            {"data": state},
            component=ETCD_COMPONENT,
        ),
        budget(cluster, names.etcd_service(name), ETCD_COMPONENT),
        etcd_policy(cluster, facts.operator_namespace),
    ]


def render_member(cluster: Cluster, etcd: ManagedEtcd, index: int, facts: Facts) -> RenderedMember:
    """The objects of one member."""
    name = names.etcd_member(cluster.metadata.name, index)
    marks = {names.MEMBER_LABEL: str(index)}
    template = _pod(cluster, etcd, index, facts)
    pod_hash = digest(template)
    template["metadata"]["annotations"][names.POD_HASH] = pod_hash
    picked = {**names.selector(cluster.metadata.name, ETCD_COMPONENT), **marks}
    stateful_set = make(
        STATEFUL_SET,
        cluster,
        name,
        {
            "spec": {
                "serviceName": names.etcd_service(cluster.metadata.name),
                "replicas": 1,
                "podManagementPolicy": "Parallel",
                "revisionHistoryLimit": 2,
                "selector": {"matchLabels": picked},
                "template": template,
            }
        },
        component=ETCD_COMPONENT,
        extra_labels=marks,
        annotations={names.POD_HASH: pod_hash},
    )
    return RenderedMember(
        index=index,
        stateful_set=stateful_set,
        volume=_volume(cluster, etcd, index, facts),
        pod_hash=pod_hash,
    )


def etcd_secret(cluster: Cluster, name: str, data: Mapping[str, str], *, owned: bool) -> Object:
    """A Secret with a certificate and its key."""
    body = {"type": "kubernetes.io/tls", "data": dict(data)}
    return make(SECRET, cluster, name, body, component=ETCD_COMPONENT, owned=owned)


def etcd_ca_secret(cluster: Cluster, data: Mapping[str, str]) -> Object:
    """The CA's Secret: it stays with the volumes that need what it signs."""
    name = names.etcd_ca(cluster.metadata.name)
    return etcd_secret(cluster, name, data, owned=cluster.spec.reclaim_policy == "Delete")


def server_names(cluster: Cluster, etcd: ManagedEtcd) -> tuple[str, ...]:
    """The DNS names that the members' certificate is made for."""
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    hosts = [names.etcd_host(name, namespace, index) for index in range(etcd.members)]
    front = f"{names.etcd_client_service(name)}.{namespace}.svc"
    return (*hosts, front, "localhost")


def peer_url(cluster: Cluster, index: int) -> str:
    """Where the other members find a member; it is known by it while it has no name yet."""
    host = names.etcd_host(cluster.metadata.name, cluster.metadata.namespace, index)
    return f"https://{host}:{ETCD_PEER_PORT}"


def bootstrap_flags(cluster: Cluster, etcd: ManagedEtcd, index: int) -> dict[str, str]:
    """What tells one etcd and one member from another, at a start and at a restore alike."""
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    initial = (f"{names.etcd_member(name, i)}={peer_url(cluster, i)}" for i in range(etcd.members))
    return {
        "name": names.etcd_member(name, index),
        "initial-advertise-peer-urls": peer_url(cluster, index),
        "initial-cluster": ",".join(initial),
        "initial-cluster-token": f"{namespace}.{name}",
    }


def _arguments(cluster: Cluster, etcd: ManagedEtcd, index: int) -> list[str]:
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    host = names.etcd_host(name, namespace, index)
    flags = {
        **bootstrap_flags(cluster, etcd, index),
        "data-dir": f"{DATA_FOLDER}/data",
        "listen-client-urls": f"https://0.0.0.0:{ETCD_PORT}",
        "advertise-client-urls": f"https://{host}:{ETCD_PORT}",
        "listen-peer-urls": f"https://0.0.0.0:{ETCD_PEER_PORT}",
        "listen-metrics-urls": f"http://0.0.0.0:{ETCD_METRICS_PORT}",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": COMPACTION_RETENTION,
        "quota-backend-bytes": str(quota_bytes(etcd)),
        "feature-gates": "InitialCorruptCheck=true",
    }
    for prefix in ("", "peer-"):
        flags |= {
            f"{prefix}cert-file": f"{TLS_FOLDER}/tls.crt",
            f"{prefix}key-file": f"{TLS_FOLDER}/tls.key",
            f"{prefix}trusted-ca-file": f"{TLS_FOLDER}/ca.crt",
            f"{prefix}client-cert-auth": "true",
        }
    # A pod's address may be another one seen from its peer; the CA signs for this etcd alone.
    flags["peer-skip-client-san-verification"] = "true"
    return [f"--{flag}={value}" for flag, value in flags.items()]


def quota_bytes(etcd: ManagedEtcd) -> int:
    """Size at which etcd takes no more writes."""
    return min(QUOTA_BYTES_MAX, whole_amount(etcd.storage.size) // 2)


def _pod(cluster: Cluster, etcd: ManagedEtcd, index: int, facts: Facts) -> Object:
    name = cluster.metadata.name
    port = ETCD_METRICS_PORT
    container = {
        "name": CONTAINER,
        "image": etcd.image or facts.etcd_image,
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "command": ["etcd", *_arguments(cluster, etcd, index)],
        "envFrom": [{"configMapRef": {"name": names.etcd_service(name)}}],
        "ports": [
            {"name": "client", "containerPort": ETCD_PORT},
            {"name": "peer", "containerPort": ETCD_PEER_PORT},
            {"name": METRICS_PORT_NAME, "containerPort": port},
        ],
        "resources": etcd.resources.document(),
        "securityContext": container_security(),
        "startupProbe": probe("/livez", port, period_s=1, timeout_s=5, failures=600),
        "livenessProbe": probe("/livez", port, period_s=10, timeout_s=10, failures=6),
        "readinessProbe": probe("/readyz", port, period_s=2, timeout_s=5, failures=3),
        "volumeMounts": [
            {"name": "data", "mountPath": DATA_FOLDER},
            {"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True},
        ],
    }
    secret = {"secretName": names.etcd_server_certificate(name), "defaultMode": 0o440}
    claimed = {"claimName": names.etcd_member(name, index)}
    return {
        "metadata": {
            "labels": {
                **names.labels(name, ETCD_COMPONENT),
                names.MEMBER_LABEL: str(index),
            },
            "annotations": {},
        },
        "spec": {
            "serviceAccountName": name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 30,
            "securityContext": pod_security(),
            "topologySpreadConstraints": spread(names.selector(name, ETCD_COMPONENT)),
            "containers": [container],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": claimed},
                {"name": "tls", "secret": secret},
            ],
        },
    }


def _volume(cluster: Cluster, etcd: ManagedEtcd, index: int, facts: Facts) -> Object:
    initialized = {names.INITIALIZED: "true"} if facts.etcd_initialized else {}
    return make(
        PERSISTENT_VOLUME_CLAIM,
        cluster,
        names.etcd_member(cluster.metadata.name, index),
        {"spec": claim(etcd.storage)},
        component=ETCD_COMPONENT,
        extra_labels={names.MEMBER_LABEL: str(index)},
        annotations={names.MEMBERS: str(etcd.members), **initialized},
        owned=cluster.spec.reclaim_policy == "Delete",
    )
