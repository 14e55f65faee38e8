"""Parts of a pod that brokers and etcd share: a restricted security profile and probes.

Source: Kubernetes' Pod Security Standards, profile "restricted".
"""

from typing import Final

from headrace_operator.kinds import Object

USER_ID: Final = 10_001
"""Not root, and above what base images give to their own users."""
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
HOST_LABEL: Final = "kubernetes.io/hostname"


def pod_security() -> Object:
    """securityContext of a pod. Volumes belong to its group; a large one is not walked twice."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """securityContext of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def probe(path: str, port: int, *, period_s: int, timeout_s: int, failures: int) -> Object:
    """An HTTP probe."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "timeoutSeconds": timeout_s,
        "failureThreshold": failures,
    }


def spread(selector: dict[str, str]) -> list[Object]:
    """Over zones, then over nodes, where there are any to choose from."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }
        for key in (ZONE_LABEL, HOST_LABEL)
    ]


def from_field(name: str, path: str) -> Object:
    """An environment variable with a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def pin_to_zone(spec: Object, zone: str) -> Object:
    """The pod's spec with the zone required, beside whatever affinity it has."""
    wanted = {"key": ZONE_LABEL, "operator": "In", "values": [zone]}
    affinity = dict(spec.get("affinity") or {})
    node = dict(affinity.get("nodeAffinity") or {})
    required = dict(node.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [
        {**term, "matchExpressions": [*term.get("matchExpressions", ()), wanted]} for term in terms
    ]
    node["requiredDuringSchedulingIgnoredDuringExecution"] = required
    affinity["nodeAffinity"] = node
    return {**spec, "affinity": affinity}
