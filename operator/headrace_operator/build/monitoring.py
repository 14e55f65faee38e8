"""Objects of the Prometheus operator, for Clusters that ask for them where its API is served."""

from typing import Final

from headrace_operator.build import names
from headrace_operator.build.broker import COMPONENT, HTTP_PORT_NAME
from headrace_operator.build.object import make
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import POD_MONITOR, PROMETHEUS_RULE, Object

SCRAPE_INTERVAL: Final = "30s"


def render_monitoring(cluster: Cluster) -> list[Object]:
    """The PodMonitor and the PrometheusRule that the spec asks for."""
    wanted = cluster.spec.monitoring
    found = []
    name = cluster.metadata.name
    if wanted.pod_monitor:
        spec: Object = {
            "selector": {"matchLabels": names.selector(name, COMPONENT)},
            "podTargetLabels": [names.CLUSTER_LABEL, names.BROKER_LABEL],
            "podMetricsEndpoints": [
                {"port": HTTP_PORT_NAME, "path": "/metrics", "interval": SCRAPE_INTERVAL}
            ],
        }
        found.append(make(POD_MONITOR, cluster, name, {"spec": spec}, extra_labels=wanted.labels))
    if wanted.prometheus_rule:
        groups = [{"name": f"headrace-{name}", "rules": _rules(cluster)}]
        found.append(
            make(
                PROMETHEUS_RULE,
                cluster,
                name,
                {"spec": {"groups": groups}},
                extra_labels=wanted.labels,
            )
        )
    return found


def _rules(cluster: Cluster) -> list[Object]:
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    pods = f'namespace="{namespace}",pod=~"{name}-[a-z0-9]+-[0-9]+-0",container="headrace"'
    return [
        {
            "alert": "HeadraceBrokerDown",
            "expr": f"up{{{pods}}} == 0",
            "for": "2m",
            "labels": {"severity": "critical"},
            "annotations": {
                "summary": "Broker {{ $labels.pod }} has not answered for two minutes.",
                "description": "Its partitions cannot be written or read. See"
                f" `kubectl -n {namespace} describe kcl {name}`.",
            },
        }
    ]
