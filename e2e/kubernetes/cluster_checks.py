"""Every object that a Cluster makes, against a real API server: accepted, restricted, and quiet.

    python -m e2e.kubernetes.cluster_checks [part of a case's name ...]

The operator's own pass runs in this process, on the API server alone: no controller makes pods of
the StatefulSets, so a Cluster gets as far as all its objects. For each case: every object is
accepted, a pod of each template passes admission in a namespace that enforces the restricted
profile, and a pass after that writes nothing. Then bad input: each case stalls with a sentence,
and goes on by itself once it is mended.
"""

import asyncio
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from headrace_operator.access import configuration
from headrace_operator.kinds import CLUSTER, PERSISTENT_VOLUME_CLAIM, STATEFUL_SET

from e2e.kubernetes.cluster_bad_input import BAD, mended
from e2e.kubernetes.cluster_etcd import tended
from e2e.kubernetes.cluster_monitored import monitored
from e2e.kubernetes.cluster_pass import NAMESPACE, CountingKube, context_of, quiet
from e2e.kubernetes.cluster_restore import restored
from e2e.kubernetes.runtime_world import CheckFailed, World, world

INTERNAL: Final = {"name": "internal", "type": "Internal", "port": 9092}
CASES: Final[Mapping[str, dict[str, Any]]] = {
    "smallest": {},
    "one etcd member": {"etcd": {"managed": {"members": 1, "storage": {"size": "512Mi"}}}},
    "outside": {
        "listeners": [
            INTERNAL,
            {"name": "out", "type": "NodePort", "port": 9094, "nodePort": 31094},
            {"name": "lb", "type": "LoadBalancer", "port": 9095, "annotations": {"a/b": "c"}},
        ]
    },
    "resources in other words": {
        "pools": [
            {
                "name": "a",
                "replicas": 2,
                "zones": ["z1", "z2"],
                "storage": {"size": "1024Mi"},
                "resources": {
                    "requests": {"cpu": "0.5", "memory": "1024Mi"},
                    "limits": {"cpu": 1, "memory": "1Gi"},
                },
                "podTemplate": {
                    "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
                    "spec": {
                        "priorityClassName": "system-cluster-critical",
                        "tolerations": [{"key": "disk", "operator": "Exists"}],
                        "nodeSelector": {"disk": "fast"},
                        "terminationGracePeriodSeconds": 90,
                        "containers": [
                            {"name": "headrace", "env": [{"name": "X", "value": "1000m"}]},
                        ],
                        "volumes": [{"name": "more", "emptyDir": {"sizeLimit": "1024Mi"}}],
                    },
                },
            },
            {"name": "b", "replicas": 1, "storage": {"size": "1Gi"}},
        ]
    },
    "deleted with its volumes": {"reclaimPolicy": "Delete"},
    "settings": {"config": {"num.partitions": "3", "log.retention.ms": "60000"}},
}


async def check(w: World, name: str, spec: Mapping[str, Any]) -> str:
    """One case; returns what was seen."""
    cluster = "c" + str(sorted(CASES).index(name))
    body = {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.name,
        "metadata": {"name": cluster, "namespace": NAMESPACE},
        "spec": {
            "version": "0.1.0",
            "pools": [{"name": "a", "replicas": 3, "storage": {"size": "1Gi"}}],
            **spec,
        },
    }
    w.ask("POST", CLUSTER.path(NAMESPACE), body)
    kube = CountingKube(await configuration(w.api.kubeconfig))
    try:
        context = context_of(kube)
        passes = await quiet(context, cluster)
        if passes < 0:
            raise CheckFailed(f"every pass writes: {_status(w, cluster)}")
        sets = [s for s in context.store.all(STATEFUL_SET) if _of(s, cluster)]
        for stateful_set in sets:
            _try_pod(w, stateful_set["spec"]["template"])
        volumes = [v for v in context.store.all(PERSISTENT_VOLUME_CLAIM) if _of(v, cluster)]
    finally:
        await kube.close()
    if not sets or not volumes:
        raise CheckFailed(f"no objects were made: {_status(w, cluster)}")
    return f"{len(sets)} StatefulSets, {len(volumes)} volumes, quiet after {passes} passes"


def _of(obj: Mapping[str, Any], cluster: str) -> bool:
    return bool(obj["metadata"]["labels"]["headrace.io/cluster"] == cluster)


def _status(w: World, cluster: str) -> Any:
    return w.ask("GET", CLUSTER.path(NAMESPACE, cluster)).get("status")


def _try_pod(w: World, template: Mapping[str, Any]) -> None:
    metadata = {**template["metadata"], "generateName": "try-"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    w.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod)


def chosen(cases: Iterable[str]) -> list[str]:
    """Those that the command line names a part of; all where it names nothing."""
    return [c for c in cases if not sys.argv[1:] or any(part in c for part in sys.argv[1:])]


def main() -> int:
    """0 where every case holds."""
    failed = 0
    with world() as w:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        w.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}})
        tried = {case: check(w, case, CASES[case]) for case in chosen(CASES)}
        tried |= {case: mended(w, case) for case in chosen(BAD)}
        tried |= {case: restored(w) for case in chosen(["restore"])}
        tried |= {case: tended(w) for case in chosen(["etcd member lost"])}
        tried |= {case: monitored(w) for case in chosen(["monitoring"])}
        for case, outcome in tried.items():
            try:
                print(f"ok    {case}: {asyncio.run(outcome)}", flush=True)
            except CheckFailed as failure:
                failed += 1
                print(f"FAIL  {case}: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
