"""No two operators act at once, and one always does again, whatever the network and clocks do.

Several elections share one simulated API server: requests are late, lost before or after they
were done, the server freezes, processes freeze or die, somebody deletes the Lease. Each process
has its own monotonic clock with its own origin. The acting rule under test is the production one
(`Election.may_act`); the simulated server checks resourceVersions as the real one does, which
e2e/kubernetes shows.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace_operator.lease import DURATION_MS, RETRY_MS, Election, Read, Write

SEEDS = range(60)
STEP_MS = 50
TIMEOUT_MS = 2_000


@dataclass
class Server:
    version: int = 0
    lease: dict[str, Any] | None = None

    def do(self, ask: Read | Write, identity: str) -> tuple[str, dict[str, Any] | None]:
        if isinstance(ask, Read):
            return ("saw", self.lease) if self.lease else ("absent", None)
        if ask.resource_version is None:
            if self.lease is not None:
                return "refused", None
        elif self.lease is None or self.lease["metadata"]["resourceVersion"] != str(
            ask.resource_version
        ):
            return "refused", None
        return "written", self.write(identity, DURATION_MS // 1000, ask.transitions)

    def write(self, holder: str, seconds: int, transitions: int) -> dict[str, Any]:
        self.version += 1
        self.lease = {
            "metadata": {"resourceVersion": str(self.version)},
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": seconds,
                "leaseTransitions": transitions,
            },
        }
        return self.lease


@dataclass
class Process:
    name: str
    offset_ms: int
    election: Election = field(init=False)
    waiting: tuple[int, int, str, Any] | None = None
    """(done at, sent at by its own clock, what came back or "", lease)."""
    frozen_until_ms: int = 0
    dead: bool = False

    def __post_init__(self) -> None:
        self.election = Election(self.name)


class World:
    def __init__(self, seed: int, *, faults: bool) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.server = Server()
        self.now_ms = 0
        self.server_frozen_until_ms = 0
        self.late: list[tuple[int, Process, Read | Write]] = []
        self.started = 0
        self.processes = [self.process() for _ in range(3)]

    def process(self) -> Process:
        self.started += 1
        return Process(f"operator-{self.started}", self.random.randrange(10**9))

    def acting(self) -> list[str]:
        return [
            p.name
            for p in self.processes
            if not p.dead and p.election.may_act(self.now_ms + p.offset_ms)
        ]

    def step(self) -> None:
        self.now_ms += STEP_MS
        if self.faults:
            self.hurt()
        for due, process, ask in [entry for entry in self.late if entry[0] <= self.now_ms]:
            self.late.remove((due, process, ask))
            self.server.do(ask, process.name)
        for index, process in enumerate(self.processes):
            if process.dead:
                self.processes[index] = self.process()
            elif self.now_ms >= process.frozen_until_ms:
                self.turn(process)

    def turn(self, process: Process) -> None:
        now = self.now_ms + process.offset_ms
        election = process.election
        if election.too_old(now):
            process.dead = True
            return
        if process.waiting is not None:
            done_at, sent, what, lease = process.waiting
            if self.now_ms < done_at:
                return
            process.waiting = None
            if what == "saw":
                election.saw(lease, now)
            elif what == "absent":
                election.absent(now)
            elif what == "written":
                election.written(lease, sent, now)
            elif what == "refused":
                election.refused()
        if now >= election.next_ms():
            self.send(process, election.ask(now), now)

    def send(self, process: Process, ask: Read | Write, now: int) -> None:
        lost = self.now_ms < self.server_frozen_until_ms
        fate = self.random.random() if self.faults else 1.0
        if lost or fate < 0.05:
            # It may still be done later than the sender waits for.
            done = max(self.now_ms, self.server_frozen_until_ms) + self.random.randrange(9_000)
            if self.random.random() < 0.5:
                self.late.append((done, process, ask))
            process.waiting = (self.now_ms + TIMEOUT_MS, now, "", None)
            return
        what, lease = self.server.do(ask, process.name)
        if fate < 0.1:
            process.waiting = (self.now_ms + TIMEOUT_MS, now, "", None)
        else:
            delay = self.random.randrange(5, 1_500 if fate < 0.2 else 40)
            process.waiting = (self.now_ms + delay, now, what, lease)

    def hurt(self) -> None:
        chance = self.random.random()
        if chance < 0.002:
            self.random.choice(self.processes).dead = True
        elif chance < 0.004:
            frozen = self.now_ms + self.random.randrange(500, 15_000)
            self.random.choice(self.processes).frozen_until_ms = frozen
        elif chance < 0.005:
            self.server_frozen_until_ms = self.now_ms + self.random.randrange(500, 15_000)
        elif chance < 0.0055:
            self.server.lease = None


@pytest.mark.parametrize("seed", SEEDS)
def test_never_two_act(seed: int) -> None:
    world = World(seed, faults=True)
    led: set[str] = set()
    for _ in range(10 * 60_000 // STEP_MS):
        world.step()
        acting = world.acting()
        assert len(acting) <= 1, f"{acting} at {world.now_ms} ms"
        led.update(acting)
    assert len(led) > 3, "the world was too quiet to show anything"


@pytest.mark.parametrize("seed", SEEDS)
def test_somebody_acts_again_once_the_world_is_well(seed: int) -> None:
    world = World(seed, faults=True)
    while world.now_ms < 60_000:
        world.step()
    world.faults = False
    well_ms = max(world.now_ms, world.server_frozen_until_ms)
    well_ms = max([well_ms, *(p.frozen_until_ms for p in world.processes)]) + 10_000
    world_ends = well_ms + DURATION_MS + 2 * RETRY_MS + TIMEOUT_MS
    while world.now_ms < world_ends:
        world.step()
    acting = world.acting()
    assert len(acting) == 1
    for _ in range(60_000 // STEP_MS):
        world.step()
        assert world.acting() == acting


def test_a_dead_holder_is_followed_within_its_duration_and_a_turn() -> None:
    world = World(1, faults=False)
    while not world.acting():
        world.step()
    while world.now_ms < 30_000:
        world.step()
    [leader] = world.acting()
    next(p for p in world.processes if p.name == leader).dead = True
    died_ms = world.now_ms
    while world.now_ms == died_ms or not world.acting():
        world.step()
    assert DURATION_MS - RETRY_MS < world.now_ms - died_ms <= DURATION_MS + RETRY_MS + 200


@pytest.mark.parametrize(
    "broken", ["the deadline is the duration", "no guard", "who creates it acts at once"]
)
def test_the_simulation_sees_a_planted_bug(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken == "the deadline is the duration":
        monkeypatch.setattr("headrace_operator.lease.RENEW_DEADLINE_MS", 11_000)
    elif broken == "no guard":

        def unguarded(self: Server, ask: Read | Write, identity: str) -> tuple[str, Any]:
            if isinstance(ask, Read):
                return ("saw", self.lease) if self.lease else ("absent", None)
            return "written", self.write(identity, DURATION_MS // 1000, ask.transitions)

        monkeypatch.setattr(Server, "do", unguarded)
    else:
        written = Election.written

        def hasty(self: Election, lease: Any, sent_ms: int, now_ms: int) -> None:
            written(self, lease, sent_ms, now_ms)
            self._acts_from_ms = 0

        monkeypatch.setattr(Election, "written", hasty)
    with pytest.raises(AssertionError, match="operator-"):
        for seed in range(200):
            test_never_two_act(seed)
