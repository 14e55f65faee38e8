"""The steps of the end-to-end run, in the order in which a new user meets them."""

import subprocess
import sys

from e2e.kubernetes import images
from e2e.kubernetes.step import Step
from e2e.kubernetes.steps import plain_broker
from e2e.kubernetes.world import World


def _resources(_world: World) -> str:
    """Every rule of the resources and of the admission policies, on an API server of their own."""
    command = [sys.executable, "-m", "e2e.kubernetes.cel"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{done.stdout}{done.stderr}")
    return done.stdout.strip().splitlines()[-1]


def _images(world: World) -> str:
    images.build(world.images)
    seen = images.check(world.images)
    images.give(world.images, push=world.rig is None)
    return seen


STEPS = [
    Step(name="resources refuse what is wrong, word for word", does=_resources, limit_s=120),
    Step(name="images are built and every node has them", does=_images, limit_s=900),
    *plain_broker.STEPS,
]
