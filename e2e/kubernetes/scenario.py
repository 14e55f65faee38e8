"""The steps of the end-to-end run, in the order in which a new user meets them."""

import subprocess
import sys

from e2e.kubernetes import images
from e2e.kubernetes.step import Step
from e2e.kubernetes.steps import (
    bad_input,
    etcd_away,
    faults,
    first_use,
    guarded,
    lifecycle,
    one_namespace,
    operator,
    plain_broker,
    resources,
    without_helm,
)
from e2e.kubernetes.world import World


def _resources(_world: World) -> str:
    """Every rule of the resources and of the admission policies, on an API server of their own."""
    return _said("e2e.kubernetes.cel")[-1]


def _runtime(_world: World) -> str:
    """The operator's election and permissions, on the same kind of server."""
    return f"{len(_said('e2e.kubernetes.runtime_checks'))} checks hold"


def _objects(_world: World) -> str:
    """What a Cluster makes is accepted and quiet; bad input is said, and mending is enough."""
    held = [line for line in _said("e2e.kubernetes.cluster_checks") if line.startswith("ok ")]
    return f"{len(held)} cases hold"


def _rules(_world: World) -> str:
    """What the operator keeps for Topics and Quotas, and shows, with real brokers beside it."""
    return f"{len(_said('e2e.kubernetes.operator_rules'))} rules hold"


def _said(module: str) -> list[str]:
    """The lines that a program of ours printed. Raises AssertionError with them where it failed."""
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{done.stdout}{done.stderr}")
    return done.stdout.strip().splitlines()


def _images(world: World) -> str:
    images.build(world.images)
    seen = images.check(world.images)
    images.give(world.images, push=world.rig is None)
    return seen


STEPS = [
    Step(name="resources refuse what is wrong, word for word", does=_resources, limit_s=120),
    Step(name="a Cluster's objects are accepted, bad input is mended", does=_objects, limit_s=120),
    Step(name="the operator keeps the rules of Topics and Quotas", does=_rules, limit_s=240),
    Step(name="images are built and every node has them", does=_images, limit_s=900),
    *plain_broker.STEPS,
    *first_use.STEPS,
    *operator.TESTED,
    *resources.STEPS,
    *resources.ADDED,
    *faults.STEPS,
    *etcd_away.STEPS,
    *operator.KILLED,
    *lifecycle.STEPS,
    *bad_input.STEPS,
    *guarded.STEPS,
    *lifecycle.DELETED,
    *operator.UNINSTALLED,
    *one_namespace.STEPS,
    *without_helm.STEPS,
    Step(name="the operator's runtime holds what it promises", does=_runtime, limit_s=600),
]
