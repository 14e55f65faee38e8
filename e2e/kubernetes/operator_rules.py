"""What the operator keeps and shows, rule by rule: the real command, brokers and API server.

    python -m e2e.kubernetes.operator_rules [part of a rule's name ...]

Each rule has a namespace of its own; two Clusters and one operator are shared by all.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from e2e.kubernetes import operator_shows, topic_rules
from e2e.kubernetes.checks import run_checks
from e2e.kubernetes.runtime_stage import stage
from e2e.kubernetes.runtime_world import world
from e2e.kubernetes.topic_rules import LOOK_S, Scene


def main() -> int:
    """0 where every rule holds."""
    with world() as w, stage(w, ("c", "d")) as s:
        s.ready_operator(f"--look-seconds={LOOK_S}")

        def scene(rule: Callable[[Scene], str]) -> Scene:
            namespace = rule.__name__.replace("_", "-")
            w.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
            return Scene(stage=s, namespace=namespace)

        def logs() -> list[Path]:
            return [operator.log for operator in w.operators]

        rules = (*topic_rules.RULES, *operator_shows.RULES)
        return run_checks(rules, scene, sys.argv[1:], logs=logs)


if __name__ == "__main__":
    sys.exit(main())
