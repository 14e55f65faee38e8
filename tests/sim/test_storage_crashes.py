"""Crashes of the storage at every moment, in each durability mode; and that each check can fail.

`HEADRACE_SIM_SEEDS=200 pytest tests/sim` runs that many seeds of each; a violation names its own.
"""

import os

import pytest
from headrace.sim.bugs import Planted
from headrace.sim.storage_checks import Violation
from headrace.sim.storage_crashes import Effort, run

SEEDS = int(os.environ.get("HEADRACE_SIM_SEEDS", "2"))
MODES = ("never", "interval", "ack")


@pytest.mark.timeout(60 + 10 * SEEDS)
@pytest.mark.parametrize("compacted", [False, True], ids=["plain", "compacted"])
@pytest.mark.parametrize("durability", MODES)
def test_no_promise_is_broken_by_a_sample_of_crashes(durability: str, compacted: bool) -> None:
    first = 1000 * MODES.index(durability)
    for seed in range(first, first + SEEDS):
        coverage = run(seed, durability, Effort(), compacted=compacted)
        assert coverage.cuts > 50 and coverage.kills > 5, "the run proves little"
        assert coverage.batches > 10, "the run proves little"


@pytest.mark.timeout(60 + 10 * SEEDS)
@pytest.mark.parametrize("durability", MODES)
def test_no_promise_is_broken_by_any_crash_of_a_short_workload(durability: str) -> None:
    """Every state that a cut may leave after every operation, where they are at most 2,000."""
    for seed in range(SEEDS):
        coverage = run(seed, durability, Effort(steps=5, cuts=2000, nested_share=0.01))
        assert coverage.cuts > coverage.operations


@pytest.mark.parametrize("bug", list(Planted))
def test_a_planted_bug_is_caught(bug: Planted) -> None:
    durability = "interval" if bug is Planted.FORGOTTEN_INTERVAL else "ack"
    with pytest.raises(Violation):
        for seed in range(20):
            run(seed, durability, Effort(), compacted=bug is Planted.UNSYNCED_SWAP, bug=bug)


def test_a_seed_repeats_itself() -> None:
    assert run(3, "ack", Effort(steps=15)) == run(3, "ack", Effort(steps=15))
