"""`python -m e2e.kubernetes`: the end-to-end run, in E2E_KUBECONFIG's Kubernetes or on the rig.

E2E_KUBECONFIG:   an administrator's kubeconfig; images are then pushed
E2E_IMAGE_PREFIX: where to, for example registry.example/headrace; needed with E2E_KUBECONFIG
"""

import os
import signal
import sys
import time
from pathlib import Path

from e2e.kubernetes import report
from e2e.kubernetes.images import DEFAULT_PREFIX, Images
from e2e.kubernetes.scenario import STEPS
from e2e.kubernetes.step import run
from e2e.kubernetes.world import World
from e2e.rig import cluster


def main() -> int:
    """0 if every step went well, else 1."""
    # A run that is told to end takes its rig down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = os.environ.get("E2E_KUBECONFIG")
    prefix = os.environ.get("E2E_IMAGE_PREFIX")
    if given and not prefix:
        print("E2E_IMAGE_PREFIX says where to push the images: set it too", file=sys.stderr)
        return 2
    images = Images(prefix=prefix or DEFAULT_PREFIX)
    started = time.monotonic()
    if given:
        return _run(World(kubeconfig=Path(given), images=images, rig=None), started)
    with cluster.start() as rig:
        return _run(World(kubeconfig=rig.kubeconfig, images=images, rig=rig), started)


def _run(world: World, started: float) -> int:
    setup_s = time.monotonic() - started
    results = run(STEPS, world)
    failed = sum(result.failed for result in results)
    if not failed:
        total_s = time.monotonic() - started
        report.write(results, world, setup_s=setup_s, total_s=total_s)
    not_run = len(STEPS) - len(results)
    print(f"{len(results) - failed} passed, {failed} failed, {not_run} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
