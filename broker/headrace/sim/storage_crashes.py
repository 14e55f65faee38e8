"""Crashes of the storage at every moment of a workload: process kills and power cuts.

After each operation on the disk, each state that a cut could leave (or a seeded sample, where
they are many) is opened by the real recovery and checked against what was promised; so is what
a kill leaves. Some are cut again while they recover, and some live on and are closed and opened.
"""

import random
from dataclasses import dataclass

from headrace.sim.bugs import Planted, planted
from headrace.sim.disk import Operation, SimDisk
from headrace.sim.storage_checks import Violation, check_opened
from headrace.sim.storage_opened import Opened
from headrace.sim.storage_world import World


@dataclass(slots=True)  # mutable: it counts
class Coverage:
    """How much a run looked at."""

    batches: int = 0
    operations: int = 0
    kills: int = 0
    cuts: int = 0
    nested: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long the workload is and how hard each of its moments is looked at.

    Of the states after an operation all are tried if at most `cuts`, else so many are sampled.
    """

    steps: int = 40
    cuts: int = 4
    kill_share: float = 0.3
    nested_share: float = 0.05


def run(
    seed: int,
    durability: str,
    effort: Effort,
    *,
    compacted: bool = False,
    bug: Planted | None = None,
) -> Coverage:
    """One seeded workload with crashes everywhere. Raises Violation with how to repeat it."""
    coverage = Coverage()
    rng = random.Random(seed ^ 0x5EED)
    done: list[str] = []
    with planted(bug):
        try:
            world = World(seed, durability, compacted=compacted, bug=bug)
            crashes = _Crashes(world, rng, effort, coverage)

            def watch(operation: Operation) -> None:
                crashes.after(operation)
                world.happened(operation)

            world.disk.watch = watch
            for _ in range(effort.steps):
                done.append(world.step())
            coverage.batches = world.promises.in_log
        except Violation as violation:
            raise Violation(
                f"{violation}\nrepeat with seed {seed}, durability {durability}, {effort}, "
                f"compacted {compacted}; after {coverage.operations} operations of: "
                f"{' '.join(done)} ..."
            ) from violation
    return coverage


class _Crashes:
    """Crashes the world's disk after each of its operations."""

    def __init__(
        self, world: World, rng: random.Random, effort: Effort, coverage: Coverage
    ) -> None:
        self._world = world
        self._rng = rng
        self._effort = effort
        self._coverage = coverage

    def after(self, operation: Operation) -> None:
        world, coverage, promises = self._world, self._coverage, self._world.promises
        coverage.operations += 1
        if self._rng.random() < self._effort.kill_share:
            coverage.kills += 1
            self._check(world.disk.kill(), promises.end_offset, f"a kill after {operation}")
        for cut in world.disk.cuts(self._rng, self._effort.cuts):
            coverage.cuts += 1
            if self._rng.random() < self._effort.nested_share:
                self._cut_again(cut, f"a cut after {operation}")
            else:
                self._check(cut, promises.durable_end, f"a cut after {operation}")

    def _cut_again(self, disk: SimDisk, when: str) -> None:
        """Cut the power once more, during recovery."""
        disks: list[SimDisk] = []
        disk.watch = lambda operation: disks.extend(disk.cuts(self._rng, 1))
        self._open(disk)
        for again in disks[:: max(1, len(disks) // 4)]:
            self._coverage.nested += 1
            self._check(again, self._world.promises.durable_end, f"{when}, and one in recovery")

    def _open(self, disk: SimDisk) -> Opened:
        world = self._world
        return Opened(disk, world.settings, world.now_ms, leader_epoch=world.epoch, bug=world.bug)

    def _check(self, disk: SimDisk, least_end: int, when: str) -> None:
        disk.watch = None
        try:
            opened = self._open(disk)
            self._look(opened, least_end)
            if self._rng.random() < self._effort.nested_share:
                opened.close()
                again = self._open(disk)
                self._look(again, least_end)
        except Violation as violation:
            raise Violation(f"{when}: {violation}") from violation
        except BaseException as fault:
            raise Violation(f"{when}: opening raised {fault!r}") from fault

    def _look(self, opened: Opened, least_end: int) -> None:
        check_opened(
            opened,
            self._world.promises,
            least_end=least_end,
            compacted=self._world.compacted,
            rng=self._rng,
        )
