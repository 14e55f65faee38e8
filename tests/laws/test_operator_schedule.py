"""The work queue's rules under any order of events: no key lost, none twice at once, fair."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from headrace_operator.kinds import TOPIC, Key
from headrace_operator.schedule import (
    BACKGROUND_SHARE,
    BACKOFF_FIRST_MS,
    BACKOFF_MAX_MS,
    FAILED_PAUSE_MS,
    Schedule,
)
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

LANES = ("a", "b", "c")
KEYS = [Key(TOPIC, lane, f"t{number}") for lane in LANES for number in range(4)]
LANE_LIMIT = 2
JITTER = 0.5

keys = strategies.sampled_from(KEYS)


@dataclass
class Asked:
    """What was asked for a key since it was taken."""

    now: bool = False
    moments: list[int] = field(default_factory=list)


class ScheduleMachine(RuleBasedStateMachine):
    """The schedule beside a model: for each key, the moment by which it must have been given."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule(lane_limit=LANE_LIMIT, jitter=lambda: JITTER)
        self.now = 0
        self.due: dict[Key, int] = {}
        self.running: dict[Key, Asked] = {}
        self.failures: Counter[Key] = Counter()
        self.paused: dict[Key, int] = {}

    @rule(key=keys, background=strategies.booleans())
    def add(self, key: Key, background: bool) -> None:
        self.schedule.add(key, key.namespace, self.now, background=background)
        if key in self.running:
            self.running[key].now = True
        else:
            self._asked(key, self.now)

    @rule(key=keys, delay=strategies.integers(1, 5_000))
    def add_at(self, key: Key, delay: int) -> None:
        at = self.now + delay
        self.schedule.add_at(key, key.namespace, at)
        if key in self.running:
            self.running[key].moments.append(at)
        else:
            self._asked(key, at)

    def _asked(self, key: Key, at: int) -> None:
        at = max(at, self.paused.get(key, 0))
        self.due[key] = min(at, self.due.get(key, at))

    @rule()
    def take(self) -> None:
        key = self.schedule.take(self.now)
        if key is None:
            lanes = Counter(key.namespace for key in self.running)
            late = [
                key
                for key, due in self.due.items()
                if due <= self.now and lanes[key.namespace] < LANE_LIMIT
            ]
            assert not late, f"{late} wait though workers are free"
            return
        assert key not in self.running, "two workers on one key"
        assert key in self.due, "nobody asked for it"
        assert self.due.pop(key) <= self.now, "it was given before its time"
        self.running[key] = Asked()

    @precondition(lambda self: self.running)
    @rule(data=strategies.data(), again=strategies.none() | strategies.integers(0, 5_000))
    def done(self, data: strategies.DataObject, again: int | None) -> None:
        key = data.draw(strategies.sampled_from(sorted(self.running, key=str)))
        self.schedule.done(key, self.now, again)
        asked = self.running.pop(key)
        self.paused.pop(key, None)
        del self.failures[key]
        moments = asked.moments + ([] if again is None else [self.now + again])
        if asked.now or moments:
            self.due[key] = self.now if asked.now else min(moments)

    @precondition(lambda self: self.running)
    @rule(data=strategies.data())
    def failed(self, data: strategies.DataObject) -> None:
        key = data.draw(strategies.sampled_from(sorted(self.running, key=str)))
        self.schedule.failed(key, self.now)
        asked = self.running.pop(key)
        self.failures[key] += 1
        backoff = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (self.failures[key] - 1))
        backoff = round(backoff * (0.5 + JITTER / 2))
        self.paused[key] = self.now + min(backoff, FAILED_PAUSE_MS)
        self.due[key] = self.paused[key] if asked.now else self.now + backoff

    @rule(delay=strategies.integers(0, 3_000))
    def wait(self, delay: int) -> None:
        self.now += delay

    @invariant()
    def no_lane_takes_more_than_its_share(self) -> None:
        lanes = Counter(key.namespace for key in self.running)
        assert all(count <= LANE_LIMIT for count in lanes.values())
        assert self.schedule.running == len(self.running)

    def teardown(self) -> None:
        """Nothing is lost: with time and free workers all that was asked for is given."""
        wanted = set(self.due) | {
            key for key, asked in self.running.items() if asked.now or asked.moments
        }
        for key in list(self.running):
            self.schedule.done(key, self.now)
        self.now += 2 * BACKOFF_MAX_MS
        given = set()
        while (key := self.schedule.take(self.now)) is not None:
            given.add(key)
            self.schedule.done(key, self.now)
        assert wanted <= given, f"lost: {wanted - given}"
        assert self.schedule.waiting == self.schedule.running == 0


TestSchedule = ScheduleMachine.TestCase
TestSchedule.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def schedule(lane_limit: int = 100) -> Schedule:
    return Schedule(lane_limit=lane_limit, jitter=lambda: 0.0)


def key(lane: str, number: int) -> Key:
    return Key(TOPIC, lane, f"t{number}")


def test_lanes_take_turns_whatever_their_length() -> None:
    made = schedule()
    for number in range(1_000):
        made.add(key("long", number), "long", 0)
    for number in range(5):
        made.add(key("short", number), "short", 0)
    taken = [made.take(0) for _ in range(10)]
    assert Counter(found.namespace for found in taken if found) == {"long": 5, "short": 5}


def test_a_lane_at_its_limit_leaves_workers_to_others() -> None:
    made = schedule(lane_limit=3)
    for number in range(100):
        made.add(key("slow", number), "slow", 0)
    held = [made.take(0) for _ in range(4)]
    assert held[3] is None
    made.add(key("quick", 1), "quick", 0)
    assert made.take(0) == key("quick", 1)
    assert held[0] is not None
    made.done(held[0], 0)
    assert made.take(0) == key("slow", 3)


def test_urgent_keys_go_first_and_cannot_starve_the_background() -> None:
    made = schedule()
    made.add(key("a", 999), "a", 0, background=True)
    for number in range(50):
        made.add(key("a", number), "a", 0)
    taken = [made.take(0) for _ in range(BACKGROUND_SHARE)]
    assert taken[0] == key("a", 0)
    assert taken[-1] == key("a", 999)


def test_backoff_doubles_up_to_its_bound_and_success_ends_it() -> None:
    made, now = schedule(), 0
    made.add(key("a", 1), "a", now)
    waits = []
    for _ in range(12):
        taken = made.take(now)
        assert taken is not None
        made.failed(taken, now)
        due = made.next_ms()
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits[:3] == [250, 500, 1_000]
    assert waits[-1] == BACKOFF_MAX_MS // 2
    assert made.take(now) == key("a", 1)
    made.done(key("a", 1), now)
    assert made.next_ms() is None
    made.add(key("a", 1), "a", now)
    assert made.take(now) == key("a", 1)
    made.failed(key("a", 1), now)
    assert made.next_ms() == now + 250


def test_an_event_cuts_a_long_backoff_short_but_not_to_nothing() -> None:
    made, now = schedule(), 0
    made.add(key("a", 1), "a", now)
    for _ in range(10):
        assert made.take(now) is not None
        made.failed(key("a", 1), now)
        now = made.next_ms() or 0
    assert made.take(now) is not None
    made.failed(key("a", 1), now)
    made.add(key("a", 1), "a", now)
    assert made.next_ms() == now + FAILED_PAUSE_MS
    assert made.take(now + FAILED_PAUSE_MS - 1) is None
    assert made.take(now + FAILED_PAUSE_MS) == key("a", 1)


def test_what_is_added_while_it_runs_runs_once_more() -> None:
    made = schedule()
    made.add(key("a", 1), "a", 0)
    assert made.take(0) is not None
    for _ in range(5):
        made.add(key("a", 1), "a", 1)
    assert made.take(1) is None
    made.done(key("a", 1), 2)
    assert made.take(2) == key("a", 1)
    made.done(key("a", 1), 3)
    assert made.take(10_000_000) is None


@pytest.mark.parametrize("moments", [(50, 900), (900, 50)])
def test_the_earliest_of_several_moments_counts(moments: tuple[int, int]) -> None:
    made = schedule()
    made.add(key("a", 1), "a", 0)
    assert made.take(0) is not None
    for moment in moments:
        made.add_at(key("a", 1), "a", moment)
    made.done(key("a", 1), 1, 5_000)
    assert made.take(49) is None
    assert made.take(50) == key("a", 1)


@pytest.mark.parametrize("count", [1, 3])
def test_how_long_keys_wait_and_run(count: int) -> None:
    made = schedule()
    for number in range(count):
        made.add(key("a", number), "a", 100 * number)
    assert made.longest_wait_ms(1_000) == 1_000
    assert made.take(1_000) is not None
    assert made.longest_run_ms(1_500) == 500
    assert made.longest_wait_ms(1_500) == (1_400 if count > 1 else 0)
