"""Clusters of one broker, where three would show no more: for bad input and narrow permissions."""

from typing import Any

from e2e.kubernetes.world import World


def namespace(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels or {}},
    }


def cluster(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """A Cluster of one broker and one etcd member whose volumes go with it."""
    return {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "version": "0.1.0",
            "pools": [{"name": "a", "replicas": 1, "storage": {"size": "400Mi"}}],
            "etcd": {"managed": {"members": 1, "storage": {"size": "400Mi"}}},
            "reclaimPolicy": "Delete",
            **spec,
        },
    }


def pod_uids(world: World, namespace: str) -> dict[str, str]:
    """UIDs of the brokers' pods."""
    labels = "app.kubernetes.io/component=broker"
    found = world.get("pods", "-n", namespace, "-l", labels)["items"]
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in found}
