"""Objects of the Prometheus operator, for Clusters that ask for them where its API is served.

Alerts speak of what a person has to look at; each says what it means and where to look.
"""

from dataclasses import dataclass
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.broker import COMPONENT, CONTAINER, HTTP_PORT_NAME
from headrace_operator.build.etcd import CONTAINER as ETCD_CONTAINER
from headrace_operator.build.etcd import METRICS_PORT_NAME
from headrace_operator.build.object import make
from headrace_operator.build.protection import ETCD_COMPONENT
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import POD_MONITOR, PROMETHEUS_RULE, Object

SCRAPE_INTERVAL: Final = "30s"
OLD_METADATA_S: Final = 60
"""Brokers hear from etcd each 2 s; a minute without is no hiccup."""
NEARLY_FULL: Final = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """`name` goes after Headrace; `lasts` is how long it must be so."""

    name: str
    expr: str
    lasts: str
    severity: str
    summary: str
    description: str


def render_monitoring(cluster: Cluster) -> list[Object]:
    """The PodMonitors and the PrometheusRule that the spec asks for."""
    wanted = cluster.spec.monitoring
    name = cluster.metadata.name
    found = []
    if wanted.pod_monitor:
        labels = [names.CLUSTER_LABEL, names.BROKER_LABEL]
        found.append(_monitor(cluster, name, COMPONENT, HTTP_PORT_NAME, labels))
        if cluster.spec.etcd.managed is not None:
            labels = [names.CLUSTER_LABEL, names.MEMBER_LABEL]
            etcd = names.etcd_service(name)
            found.append(_monitor(cluster, etcd, ETCD_COMPONENT, METRICS_PORT_NAME, labels))
    if wanted.prometheus_rule:
        alerts = [*_broker_alerts(cluster), *_volume_alerts(cluster)]
        if cluster.spec.etcd.managed is not None:
            alerts += _etcd_alerts(cluster)
        groups = [{"name": f"headrace-{name}", "rules": [_rule(alert) for alert in alerts]}]
        spec: Object = {"spec": {"groups": groups}}
        found.append(make(PROMETHEUS_RULE, cluster, name, spec, extra_labels=wanted.labels))
    return found


def _monitor(
    cluster: Cluster, name: str, component: str, port: str, pod_labels: list[str]
) -> Object:
    spec: Object = {
        "selector": {"matchLabels": names.selector(cluster.metadata.name, component)},
        "podTargetLabels": pod_labels,
        "podMetricsEndpoints": [{"port": port, "path": "/metrics", "interval": SCRAPE_INTERVAL}],
    }
    labels = cluster.spec.monitoring.labels
    return make(POD_MONITOR, cluster, name, {"spec": spec}, extra_labels=labels)


def _rule(alert: Alert) -> Object:
    return {
        "alert": f"Headrace{alert.name}",
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description},
    }


def _broker_alerts(cluster: Cluster) -> list[Alert]:
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    pods = f'namespace="{namespace}",pod=~"{name}-[a-z0-9]+-[0-9]+-0",container="{CONTAINER}"'
    look = f"See `kubectl -n {namespace} describe kcl {name}`."
    brokers = sum(pool.replicas for pool in cluster.spec.pools)
    return [
        Alert(
            name="BrokerDown",
            expr=f"up{{{pods}}} == 0",
            lasts="2m",
            severity="critical",
            summary="Broker {{ $labels.pod }} has not answered for two minutes.",
            description=f"Its partitions cannot be written or read. {look}",
        ),
        Alert(
            name="BrokersMissing",
            expr=f"count(up{{{pods}}} == 1) < {brokers}",
            lasts="5m",
            severity="critical",
            summary=f"Only {{{{ $value }}}} of {brokers} brokers of {namespace}/{name} answer.",
            description=f"Partitions of the others cannot be written or read. {look}",
        ),
        Alert(
            name="OfflinePartitions",
            expr=f"kafka_controller_kafkacontroller_offlinepartitionscount{{{pods}}} > 0",
            lasts="1m",
            severity="critical",
            summary="{{ $value }} partitions on {{ $labels.pod }} cannot be served.",
            description=f"Its volume failed, or holds them no more. {look}",
        ),
        Alert(
            name="UnderReplicatedPartitions",
            expr=f"kafka_server_replicamanager_underreplicatedpartitions{{{pods}}} > 0",
            lasts="5m",
            severity="warning",
            summary="{{ $value }} partitions that {{ $labels.pod }} leads lack replicas.",
            description=f"A broker that holds them is away or behind. {look}",
        ),
        Alert(
            name="LogDirOffline",
            expr=f"kafka_log_logmanager_offlinelogdirectorycount{{{pods}}} > 0",
            lasts="0m",
            severity="critical",
            summary="The volume of {{ $labels.pod }} failed.",
            description="A write or a read got an error: see the broker's log, and the node's.",
        ),
        Alert(
            name="DamagedReads",
            expr=f"increase(headrace_log_damaged_reads_total{{{pods}}}[1h]) > 0",
            lasts="0m",
            severity="critical",
            summary="{{ $labels.pod }} read records from its volume that are damaged.",
            description="Their checksum is wrong. The broker's log names the file and the place.",
        ),
        Alert(
            name="MetadataOld",
            expr=f"headrace_metadata_age_seconds{{{pods}}} > {OLD_METADATA_S}",
            lasts="1m",
            severity="warning",
            summary="{{ $labels.pod }} has heard nothing from etcd for {{ $value }} s.",
            description="Records are written and read; topics, settings and leaders cannot change."
            f" {look}",
        ),
    ]


def _volume_alerts(cluster: Cluster) -> list[Alert]:
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    claims = f'namespace="{namespace}",persistentvolumeclaim=~"{name}-(broker-[0-9]+|etcd-[0-9])"'
    used = f"kubelet_volume_stats_used_bytes{{{claims}}}"
    capacity = f"kubelet_volume_stats_capacity_bytes{{{claims}}}"
    return [
        Alert(
            name="VolumeNearlyFull",
            expr=f"{used} / {capacity} > {NEARLY_FULL}",
            lasts="5m",
            severity="warning",
            summary="Volume {{ $labels.persistentvolumeclaim }} is"
            " {{ $value | humanizePercentage }} full.",
            description="A broker whose volume is full refuses records. Raise storage.size in the"
            " Cluster, or keep less (retention.ms, retention.bytes).",
        )
    ]


def _etcd_alerts(cluster: Cluster) -> list[Alert]:
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    pods = f'namespace="{namespace}",pod=~"{name}-etcd-[0-9]-0",container="{ETCD_CONTAINER}"'
    size = f"etcd_mvcc_db_total_size_in_bytes{{{pods}}}"
    quota = f"etcd_server_quota_backend_bytes{{{pods}}}"
    look = f"See condition EtcdHealthy: `kubectl -n {namespace} describe kcl {name}`."
    return [
        Alert(
            name="EtcdMemberDown",
            expr=f"up{{{pods}}} == 0 or etcd_server_has_leader{{{pods}}} == 0",
            lasts="2m",
            severity="critical",
            summary="etcd member {{ $labels.pod }} does not answer, or knows no leader.",
            description=f"Without a majority of members metadata cannot change. {look}",
        ),
        Alert(
            name="EtcdNearlyFull",
            expr=f"{size} / {quota} > {NEARLY_FULL}",
            lasts="10m",
            severity="warning",
            summary="etcd member {{ $labels.pod }} uses {{ $value | humanizePercentage }} of its"
            " quota.",
            description="At 100 % it takes no more writes (alarm NOSPACE). Raise"
            f" spec.etcd.managed.storage.size. {look}",
        ),
    ]
