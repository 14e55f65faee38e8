"""The operator's runtime against a real API server: election, permissions, what is held.

    python -m e2e.kubernetes.runtime_checks [part of a check's name ...]

Prints one line a check with what was measured; ends with 1 where one failed. No nodes are needed.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from e2e.kubernetes.checks import run_checks
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
from e2e.kubernetes.runtime_kube import kube_contract, memory_contract
from e2e.kubernetes.runtime_protection import definitions_kept
from e2e.kubernetes.runtime_reach import finalizers_released, one_namespace
from e2e.kubernetes.runtime_world import World, world

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
)


def main() -> int:
    with world() as made:

        def cleared(_check: object) -> World:
            made.clear()
            return made

        def logs() -> list[Path]:
            return [operator.log for operator in made.operators]

        return run_checks(CHECKS, cleared, sys.argv[1:], logs=logs)


if __name__ == "__main__":
    sys.exit(main())
