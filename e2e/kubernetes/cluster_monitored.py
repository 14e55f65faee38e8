"""Objects for Prometheus: a sentence where their API is not served, and made once it is."""

from typing import Any, Final

from headrace_operator.access import configuration
from headrace_operator.kinds import CLUSTER, POD_MONITOR, PROMETHEUS_RULE, Kind

from e2e.kubernetes.cluster_pass import NAMESPACE, CountingKube, context_of, quiet
from e2e.kubernetes.runtime_world import START_S, CheckFailed, World, until

NAME: Final = "watched"
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def monitored(w: World) -> str:
    """One and the same operator before and after the Prometheus operator's API comes."""
    pool = {"name": "a", "replicas": 1, "storage": {"size": "1Gi"}}
    body = {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.name,
        "metadata": {"name": NAME},
        "spec": {
            "version": "0.1.0",
            "pools": [pool],
            "monitoring": {"podMonitor": True, "prometheusRule": True},
        },
    }
    w.ask("POST", CLUSTER.path(NAMESPACE), body)
    kube = CountingKube(await configuration(w.api.kubeconfig))
    context = context_of(kube)
    try:
        await quiet(context, NAME)
        _says(w, "False", "ApiNotServed")
        for kind in (POD_MONITOR, PROMETHEUS_RULE):
            w.ask("POST", DEFINITIONS, _definition(kind))
            path = kind.path(NAMESPACE)
            until("it is served", lambda path=path: w.api.request("GET", path)[0] == 200, START_S)
        passes = await quiet(context, NAME)
    finally:
        await kube.close()
    _says(w, "True", "Made")
    made = [
        item["metadata"]["name"]
        for kind in (POD_MONITOR, PROMETHEUS_RULE)
        for item in w.ask("GET", kind.path(NAMESPACE))["items"]
    ]
    if sorted(made) != [NAME, NAME, f"{NAME}-etcd"] or passes < 0:
        raise CheckFailed(f"made were {made}, quiet after {passes} passes")
    return f"ApiNotServed; once served {len(made)} objects, quiet after {passes} passes"


def _says(w: World, status: str, reason: str) -> None:
    conditions = w.ask("GET", CLUSTER.path(NAMESPACE, NAME))["status"]["conditions"]
    found = next(one for one in conditions if one["type"] == "Monitored")
    if (found["status"], found["reason"]) != (status, reason):
        raise CheckFailed(f"not {status} with {reason}: {found}")


def _definition(kind: Kind) -> dict[str, Any]:
    """Their real definitions are 800 kB of schema; what counts here is that they are served."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"plural": kind.plural, "kind": kind.name},
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
