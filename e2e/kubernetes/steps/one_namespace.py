"""The operator for one namespace, with a plain Role, where the definitions stayed before."""

import re
import time

from e2e.kubernetes.demo import LICENCE, settled
from e2e.kubernetes.step import Step
from e2e.kubernetes.steps import small
from e2e.kubernetes.steps.first_use import images_set
from e2e.kubernetes.steps.operator import uninstalled
from e2e.kubernetes.world import World, until
from e2e.rig.paths import ROOT
from e2e.rig.process import RigFailed

NAMESPACE = "kafka"


def _installed(world: World) -> str:
    command = _readme()
    world.shell(
        " ".join([command, "--take-ownership", "--force-conflicts", "--wait", *images_set(world)]),
        timeout_s=120,
    )
    roles = world.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name").split()
    ours = [role for role in roles if "headrace" in role]
    if ours:
        raise AssertionError(f"it made {', '.join(ours)}")
    return "both Ready; no ClusterRole and no ClusterRoleBinding of it is there"


def _used(world: World) -> str:
    listeners = [
        {"name": "internal", "type": "Internal", "port": 9092},
        {"name": "outside", "type": "NodePort", "port": 9094},
    ]
    started = time.monotonic()
    world.apply(small.cluster("narrow", NAMESPACE, listeners=listeners), _topic(NAMESPACE))
    settled(world, "kcl/narrow", namespace=NAMESPACE, timeout_s=60)
    settled(world, "ktp/narrow", namespace=NAMESPACE)
    ready_s = time.monotonic() - started
    service = world.get("service/narrow-outside-bootstrap", "-n", NAMESPACE)
    bootstrap = f"{world.node_address()}:{service['spec']['ports'][0]['nodePort']}"
    world.headrace(bootstrap, "produce", "narrow", text=LICENCE)
    back = world.headrace(bootstrap, "consume", "narrow", "--from-beginning", "--no-follow")
    if back != LICENCE:
        raise AssertionError(f"{len(back)} characters came back of {len(LICENCE)}")
    return f"Cluster and Topic Ready after {ready_s:.1f} s, {len(back)} characters there and back"


def _elsewhere(world: World) -> str:
    """A Cluster of another namespace is nobody's there."""
    world.apply(small.namespace("elsewhere"), small.cluster("foreign", "elsewhere"))
    world.apply(_topic(NAMESPACE, name="after"))
    settled(world, "ktp/after", namespace=NAMESPACE)
    if world.get("kcl/foreign", "-n", "elsewhere").get("status", {}).get("conditions"):
        raise AssertionError("it worked on a Cluster of another namespace")
    world.kubectl("delete", "namespace", "elsewhere", "--wait=true", timeout_s=60)
    return "left alone"


def _gone(world: World) -> str:
    world.kubectl("delete", "ktp,kcl", "--all", "-n", NAMESPACE, "--wait=true", timeout_s=90)
    until(lambda: not _claims(world), what="its volumes are gone", timeout_s=60)
    said = uninstalled(world, NAMESPACE)
    world.kubectl("delete", "namespace", NAMESPACE, "--wait=true", timeout_s=90)
    return said


STEPS = [
    Step(name="installed for one namespace, without a ClusterRole", does=_installed, limit_s=150),
    Step(name="a Cluster and a Topic there", does=_used, limit_s=150),
    Step(name="other namespaces are left alone", does=_elsewhere, limit_s=90),
    Step(name="that goes, too", does=_gone, limit_s=300),
]


def _readme() -> str:
    """The command of README's table."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"`(helm install [^`]*watchNamespaces[^`]*)`", text)
    if found is None:
        raise RigFailed("README.md does not say how to install for one namespace")
    return found[1]


def _claims(world: World) -> list[object]:
    return list(world.get("pvc", "-n", NAMESPACE)["items"])


def _topic(namespace: str, name: str = "narrow") -> dict[str, object]:
    return {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": "Topic",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterRef": {"name": "narrow"}, "partitions": 1},
    }
