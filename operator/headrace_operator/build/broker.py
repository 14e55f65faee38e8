"""One broker: its settings file, its StatefulSet and its volume."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.broker_settings import Settings, properties
from headrace_operator.build.facts import Broker, Facts, image_of_version
from headrace_operator.build.object import digest, make
from headrace_operator.build.overlay import lay_over
from headrace_operator.build.pod_parts import (
    ZONE_LABEL,
    container_security,
    from_field,
    pin_to_zone,
    pod_security,
    probe,
    spread,
)
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.listeners import CONTROL_PORT, HTTP_PORT, Listener
from headrace_operator.crd.pools import Storage
from headrace_operator.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, STATEFUL_SET, Object

COMPONENT: Final = "broker"
CONTAINER: Final = "headrace"
GRACE_S: Final = 60
"""Time to write what is open and hand over after SIGTERM; a clean stop takes seconds."""
CONFIG_FOLDER: Final = "/etc/headrace"
CONFIG_FILE: Final = "broker.properties"
ETCD_FOLDER: Final = "/etc/headrace-etcd"
DATA_FOLDER: Final = "/var/lib/headrace"
ETCD_PORT: Final = 2379
HTTP_PORT_NAME: Final = "http-metrics"
"""With a hyphen: a listener's name, which names its port, has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedBroker:
    """The objects of one broker. `pod_hash` changes with anything that restarts it."""

    broker: Broker
    config_map: Object
    stateful_set: Object
    volume: Object
    pod_hash: str


def render_broker(
    cluster: Cluster, broker: Broker, settings: Settings, facts: Facts
) -> RenderedBroker | str:
    """The objects of a broker, or what they still wait for. Raises CannotBuild."""
    ports = _missing_port(cluster, broker, facts)
    if ports is not None:
        return ports
    name = names.broker_set(cluster.metadata.name, broker.pool.name, broker.id)
    text = properties(_properties(cluster, broker, settings, facts))
    # Named by its content, so a pod that restarts by itself never meets settings whose turn has
    # not come, and a new pod never meets old ones from the kubelet's cache.
    config = make(
        CONFIG_MAP,
        cluster,
        f"{name}-{digest(text)[:10]}",
        {"data": {CONFIG_FILE: text}, "immutable": True},
        component=COMPONENT,
        extra_labels=_marks(broker),
    )
    template = _pod(cluster, broker, config["metadata"]["name"], facts)
    pod_hash = digest([template, text])
    _mark_pod(template, pod_hash)
    stateful_set = make(
        STATEFUL_SET,
        cluster,
        name,
        {
            "spec": {
                "serviceName": names.broker_service(cluster.metadata.name),
                "replicas": 1,
                "podManagementPolicy": "Parallel",
                "revisionHistoryLimit": 2,
                "selector": {"matchLabels": pod_selector(cluster, broker.id)},
                "template": template,
            }
        },
        component=COMPONENT,
        extra_labels=_marks(broker),
        annotations={names.POD_HASH: pod_hash},
    )
    return RenderedBroker(
        broker=broker,
        config_map=config,
        stateful_set=stateful_set,
        volume=_volume(cluster, broker),
        pod_hash=pod_hash,
    )


def pod_selector(cluster: Cluster, broker_id: int) -> dict[str, str]:
    """What picks the one pod of a broker."""
    return {
        **names.selector(cluster.metadata.name, COMPONENT),
        names.BROKER_LABEL: str(broker_id),
    }


def claim(storage: Storage) -> Object:
    """The spec of a volume."""
    spec: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    return spec | ({"storageClassName": storage.class_name} if storage.class_name else {})


def file_host(cluster: Cluster, broker: Broker, listener: Listener) -> str | None:
    """Where clients of a listener find the broker, as its settings file says it; None where only
    a load balancer will say (build/addresses.py)."""
    if listener.type == "Internal":
        name, namespace = cluster.metadata.name, cluster.metadata.namespace
        return names.broker_host(name, namespace, broker.pool.name, broker.id)
    if listener.host_template is not None:
        return listener.host_template.replace("{id}", str(broker.id))
    return "${env:HOST_IP}" if listener.type == "NodePort" else None


def _missing_port(cluster: Cluster, broker: Broker, facts: Facts) -> str | None:
    for listener in cluster.spec.listeners:
        service = names.listener_service(cluster.metadata.name, listener.name, broker.id)
        if listener.type == "NodePort" and service not in facts.node_ports:
            return f"Service {service} has no node port yet, which broker {broker.id} advertises."
    return None


def _properties(
    cluster: Cluster, broker: Broker, settings: Settings, facts: Facts
) -> dict[str, str]:
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    control = names.broker_host(name, namespace, broker.pool.name, broker.id)
    listeners = [f"CONTROL://:{CONTROL_PORT}"]
    advertised = [f"CONTROL://{control}:{CONTROL_PORT}"]
    for listener in cluster.spec.listeners:
        listeners.append(f"{listener.name.upper()}://:{listener.port}")
        host = file_host(cluster, broker, listener)
        if host is None:
            continue
        port = listener.port
        if listener.type == "NodePort":
            port = facts.node_ports[names.listener_service(name, listener.name, broker.id)]
        advertised.append(f"{listener.name.upper()}://{host}:{port}")
    return {
        "node.id": str(broker.id),
        "cluster.name": f"{namespace}.{name}",
        "broker.rack": broker.zone or "${env:ZONE,NODE_NAME}",
        "log.dirs": f"{DATA_FOLDER}/data",
        "listeners": ",".join(listeners),
        "advertised.listeners": ",".join(advertised),
        "http.host": "",
        "http.port": str(HTTP_PORT),
        **_etcd_properties(cluster, facts),
        **dict(sorted(settings.static.items())),
    }


def _etcd_properties(cluster: Cluster, facts: Facts) -> dict[str, str]:
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    external = cluster.spec.etcd.external
    if external is None:
        managed = cluster.spec.etcd.managed
        count = managed.members if managed is not None else 1
        hosts = [names.etcd_host(name, namespace, index) for index in range(count)]
        endpoints = [f"{host}:{ETCD_PORT}" for host in hosts]
        keys = frozenset({"ca.crt", "tls.crt", "tls.key"})
    else:
        endpoints, keys = list(external.endpoints), facts.etcd_secret_keys
    files = {
        "etcd.ca.file": "ca.crt",
        "etcd.cert.file": "tls.crt",
        "etcd.key.file": "tls.key",
        "etcd.password.file": "password",
    }
    found = {"metadata.store": "etcd", "etcd.endpoints": ",".join(endpoints)}
    found |= {key: f"{ETCD_FOLDER}/{file}" for key, file in files.items() if file in keys}
    return found | ({"etcd.username": "${env:ETCD_USERNAME}"} if "username" in keys else {})


def _environment(cluster: Cluster, broker: Broker, facts: Facts) -> list[Object]:
    found = []
    if broker.zone is None:
        found.append(from_field("NODE_NAME", "spec.nodeName"))
        # Empty where Kubernetes does not copy the node's zone to its pods (before 1.35).
        found.append(from_field("ZONE", f"metadata.labels['{ZONE_LABEL}']"))
    listeners = cluster.spec.listeners
    if any(item.type == "NodePort" and item.host_template is None for item in listeners):
        found.append(from_field("HOST_IP", "status.hostIP"))
    external = cluster.spec.etcd.external
    if external is not None and "username" in facts.etcd_secret_keys:
        secret = {"name": external.secret, "key": "username"}
        found.append({"name": "ETCD_USERNAME", "valueFrom": {"secretKeyRef": secret}})
    return found


def _container(cluster: Cluster, broker: Broker, facts: Facts) -> Object:
    spec = cluster.spec
    ports = {"control": CONTROL_PORT, **{item.name: item.port for item in spec.listeners}}
    return {
        "name": CONTAINER,
        "image": spec.image or image_of_version(facts.broker_image, spec.version),
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "command": ["headrace", "broker", "--config", f"{CONFIG_FOLDER}/{CONFIG_FILE}"],
        "env": _environment(cluster, broker, facts),
        "ports": [
            *({"name": name, "containerPort": port} for name, port in ports.items()),
            {"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT},
        ],
        "resources": broker.pool.resources.document(),
        "securityContext": container_security(),
        # The loop turns also in recovery, so only a start that never gets that far is ended here.
        "startupProbe": probe("/healthz", HTTP_PORT, period_s=1, timeout_s=5, failures=600),
        "livenessProbe": probe("/healthz", HTTP_PORT, period_s=10, timeout_s=5, failures=6),
        "readinessProbe": probe("/readyz", HTTP_PORT, period_s=2, timeout_s=5, failures=3),
        "volumeMounts": [
            {"name": "data", "mountPath": DATA_FOLDER},
            {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "etcd", "mountPath": ETCD_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _pod(cluster: Cluster, broker: Broker, config_map: str, facts: Facts) -> Object:
    name = cluster.metadata.name
    external = cluster.spec.etcd.external
    secret = names.etcd_client_certificate(name) if external is None else external.secret
    claimed = {"claimName": names.broker_volume(name, broker.id)}
    template: Object = {
        "metadata": {
            "labels": {**names.labels(name, COMPONENT), **_marks(broker)},
            "annotations": {},
        },
        "spec": {
            "serviceAccountName": name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": pod_security(),
            "topologySpreadConstraints": spread(names.selector(name, COMPONENT)),
            "containers": [_container(cluster, broker, facts)],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": claimed},
                {"name": "config", "configMap": {"name": config_map}},
                {"name": "etcd", "secret": {"secretName": secret, "defaultMode": 0o440}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }
    where = f"spec.pools[{broker.pool.name}].podTemplate"
    template = lay_over(template, broker.pool.pod_template, container=CONTAINER, where=where)
    if broker.zone is not None:
        template["spec"] = pin_to_zone(template["spec"], broker.zone)
    return template


def _mark_pod(template: Object, pod_hash: str) -> None:
    """Let the pod show, and its broker report, what they were rendered from."""
    template["metadata"]["annotations"][names.POD_HASH] = pod_hash
    for container in template["spec"]["containers"]:
        if container["name"] == CONTAINER:
            container["env"].append({"name": "HEADRACE_CONFIG_HASH", "value": pod_hash})


def _volume(cluster: Cluster, broker: Broker) -> Object:
    annotations = {names.POOL: broker.pool.name}
    if broker.zone is not None:
        annotations[names.ZONE] = broker.zone
    return make(
        PERSISTENT_VOLUME_CLAIM,
        cluster,
        names.broker_volume(cluster.metadata.name, broker.id),
        {"spec": claim(broker.pool.storage)},
        component=COMPONENT,
        extra_labels=_marks(broker),
        annotations=annotations,
        owned=cluster.spec.reclaim_policy == "Delete",
    )


def _marks(broker: Broker) -> Mapping[str, str]:
    return {names.POOL_LABEL: broker.pool.name, names.BROKER_LABEL: str(broker.id)}
