"""The operator by itself: tested, killed, and taken away."""

import time

from e2e.kubernetes.demo import patch, settled, topic
from e2e.kubernetes.step import Step
from e2e.kubernetes.world import World, until
from e2e.rig import container

RELEASE = "headrace"
NAMESPACE = "headrace-system"
CHANGED = {"retention.ms": "7200000"}


def _tested(world: World) -> str:
    world.helm("test", RELEASE, "--namespace", NAMESPACE, "--timeout", "1m", timeout_s=90)
    return "helm test succeeded"


def _active_killed(world: World) -> str:
    """kill -9 of the one that acts: its Lease runs out, the other does what is asked meanwhile."""
    before = _holder(world)
    pod = world.get("pod", "-n", NAMESPACE, before.rpartition("_")[0])
    if world.rig is not None:
        container.kill(pod["status"]["containerStatuses"][0]["containerID"])
    else:
        name = pod["metadata"]["name"]
        world.kubectl("delete", "pod", "-n", NAMESPACE, name, "--grace-period=0", "--force")
    killed = time.monotonic()
    patch(world, "ktp/orders", {"config": CHANGED})
    until(lambda: _holder(world) not in ("", before), what="another holder", timeout_s=40)
    acts_s = time.monotonic() - killed
    settled(world, "ktp/orders")
    ready_s = time.monotonic() - killed
    if topic(world)["settings"] != CHANGED:
        raise AssertionError(f"the topic has {topic(world)['settings']}, not {CHANGED}")
    return f"another acts {acts_s:.1f} s after it, a Topic changed after it Ready {ready_s:.1f} s"


def uninstalled(world: World, namespace: str) -> str:
    """The definitions stay, everything else of the release goes; it was never refused anything."""
    if refused := _forbidden(world, namespace):
        raise AssertionError(f"its permissions do not cover {refused}")
    world.helm("uninstall", RELEASE, "--namespace", namespace, "--wait", "--timeout", "2m")
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,jobs"
    left = [
        f"{one['kind']}/{one['metadata']['name']}"
        for one in world.get(kinds, "-n", namespace)["items"]
        if one["metadata"]["name"] != "default"
    ]
    if left:
        raise AssertionError(f"helm uninstall left {', '.join(left)}")
    kept = world.kubectl("get", "crds", "-o", "name").split()
    ours = [name for name in kept if name.endswith(".headrace.io")]
    if len(ours) != 3:
        raise AssertionError(f"of the definitions only {ours} stayed")
    return "nothing of it is left but the three definitions"


TESTED = [Step(name="helm test", does=_tested, limit_s=90)]
KILLED = [Step(name="the operator that acts is killed", does=_active_killed, limit_s=90)]
UNINSTALLED = [
    Step(
        name="helm uninstall keeps the definitions",
        does=lambda world: uninstalled(world, NAMESPACE),
        limit_s=150,
    )
]


def _forbidden(world: World, namespace: str) -> list[str]:
    """What the API server refused the operator for want of a permission; [] where that is not
    known, for only the rig's audit log can be read."""
    if world.rig is None:
        return []
    user = f"system:serviceaccount:{namespace}:{RELEASE}"
    return sorted(
        {
            f"{entry['verb']} {entry['requestURI']}"
            for entry in world.rig.api.audited()
            if entry["user"].get("username") == user
            # A namespace that is going refuses too, whatever the permissions are.
            and entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
        }
    )


def _holder(world: World) -> str:
    """Who holds the release's one Lease, "" while nobody does."""
    leases = world.get("leases", "-n", NAMESPACE)["items"]
    return str(leases[0]["spec"].get("holderIdentity") or "") if leases else ""
