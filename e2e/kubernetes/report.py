"""`RESULTS.md`: what each step took in the last run that was green from end to end."""

import os
import platform
from pathlib import Path

from e2e.kubernetes.step import Result
from e2e.kubernetes.world import World

RESULTS = Path(__file__).parent / "RESULTS.md"


def write(results: list[Result], world: World, *, setup_s: float, total_s: float) -> None:
    """Writes the file. `setup_s` is the time until Kubernetes was up."""
    version = _version(world)
    where = "the rig: three nodes in three zones" if world.rig is not None else "E2E_KUBECONFIG"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [
        "# The last green run of `make e2e`",
        "Written by the run itself; every figure is measured.",
        "",
        f"Kubernetes {version} ({where}), {os.cpu_count()} cores, {memory:.0f} GiB,"
        f" Linux {platform.release().partition('-')[0]}.",
        f"Up after {setup_s:.1f} s, all done after {total_s:.0f} s.",
        "",
        "| step | limit | took | seen |",
        "|---|---|---|---|",
    ]
    for result in results:
        step = result.step
        lines.append(
            f"| {step.name} | {step.limit_s:.0f} s | {result.seconds:.1f} s | {result.seen} |"
        )
    RESULTS.write_text("\n".join(lines) + "\n")


def _version(world: World) -> str:
    nodes = world.get("nodes")["items"]
    return str(nodes[0]["status"]["nodeInfo"]["kubeletVersion"])
