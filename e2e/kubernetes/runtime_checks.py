"""The operator's runtime against a real API server: election, load, quiet, permissions.

    python -m e2e.kubernetes.runtime_checks [part of a check's name ...]

Prints one line a check with what was measured; ends with 1 where one failed. No nodes are needed.
"""

import sys
import time
from collections.abc import Callable, Sequence

from e2e.kubernetes.runtime_election import (
    api_server_away_at_start,
    api_server_frozen,
    api_server_refuses,
    blocked_loop,
    crashing_work,
    first_install,
    frozen_process,
    lease_deleted,
    lease_taken,
    sigterm,
)
from e2e.kubernetes.runtime_kube import kube_contract
from e2e.kubernetes.runtime_load import failover, load, quiet
from e2e.kubernetes.runtime_protection import definitions_kept
from e2e.kubernetes.runtime_reach import finalizers_released, one_namespace
from e2e.kubernetes.runtime_topics import memory_contract, topics_created, topics_found
from e2e.kubernetes.runtime_world import CheckFailed, World, world
from e2e.rig.process import RigFailed

CHECKS: tuple[Callable[[World], str], ...] = (
    kube_contract,
    memory_contract,
    finalizers_released,
    one_namespace,
    definitions_kept,
    first_install,
    api_server_away_at_start,
    api_server_frozen,
    api_server_refuses,
    lease_taken,
    lease_deleted,
    blocked_loop,
    frozen_process,
    crashing_work,
    sigterm,
    load,
    quiet,
    failover,
    topics_created,
    topics_found,
)


def run_checks(w: World, names: Sequence[str] = ()) -> list[str]:
    """Run the checks whose names contain one of `names`, or all; returns those that failed."""
    failed = []
    chosen = [
        check for check in CHECKS if not names or any(part in check.__name__ for part in names)
    ]
    for number, check in enumerate(chosen):
        if number:
            w.clear()
        name = check.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            said = check(w)
        except (CheckFailed, RigFailed) as failure:
            failed.append(name)
            said = f"FAILED: {failure}"
            for operator in w.operators:
                said += f"\n  {operator.name}: {operator.log}"
        print(f"{name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return failed


def main() -> int:
    with world() as made:
        return 1 if run_checks(made, sys.argv[1:]) else 0


if __name__ == "__main__":
    sys.exit(main())
