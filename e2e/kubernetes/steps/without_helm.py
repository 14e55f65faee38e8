"""The operator by kubectl alone, as README says, and helm taking it over."""

import re

from e2e.kubernetes.demo import says
from e2e.kubernetes.images import DEFAULT_PREFIX
from e2e.kubernetes.step import Step
from e2e.kubernetes.steps.first_use import INSTALL
from e2e.kubernetes.steps.operator import NAMESPACE, uninstalled
from e2e.kubernetes.world import World
from e2e.rig.paths import ROOT
from e2e.rig.process import RigFailed

ORPHAN = {
    "apiVersion": "headrace.io/v1alpha1",
    "kind": "Topic",
    "metadata": {"name": "orphan", "namespace": "default"},
    "spec": {"clusterRef": {"name": "nowhere"}, "partitions": 1},
}
NOT_DONE = "not done: the plain files name the images as they are published"


def _applied(world: World) -> str:
    if world.images.prefix != DEFAULT_PREFIX:
        return NOT_DONE
    world.shell(_readme(r"`(kubectl apply [^`]*-k \.)`"))
    wait = ["--for=condition=Available", "--timeout=60s"]
    world.kubectl("wait", "-n", NAMESPACE, "deployment/headrace", *wait, timeout_s=70)
    world.apply(ORPHAN)
    said = says(world, "ktp/orphan", "ClusterNotFound", kind="Stalled")
    world.kubectl("delete", "ktp/orphan")
    return f'a Topic says "{said}"'


def _taken_over(world: World) -> str:
    """`helm install` over it, with the two flags that README names; then all of it goes."""
    if world.images.prefix != DEFAULT_PREFIX:
        return NOT_DONE
    flags = _readme(r"`(--take-ownership[^`]*)`")
    world.shell(f"{INSTALL[0]} {flags}", timeout_s=120)
    return uninstalled(world, NAMESPACE)


STEPS = [
    Step(name="installed by kubectl alone", does=_applied, limit_s=120),
    Step(name="helm takes that over, and takes it away", does=_taken_over, limit_s=240),
]


def _readme(pattern: str) -> str:
    found = re.search(pattern, (ROOT / "README.md").read_text())
    if found is None:
        raise RigFailed(f"README.md has no {pattern}")
    return found[1]
