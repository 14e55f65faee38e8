"""Timers by key against the plainest model: a dict of due times."""

from headrace.core.coordinator_timers import Timers
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.sampled_from("abcde")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 50)),
        st.tuples(st.just("cancel"), KEYS, st.just(0)),
        st.tuples(st.just("pass"), st.just(""), st.integers(0, 20)),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_timer_fires_once_at_its_last_time_and_not_before(
    steps: list[tuple[str, str, int]],
) -> None:
    timers: Timers[str] = Timers()
    model: dict[str, int] = {}
    now = 0
    for what, key, number in steps:
        if what == "set":
            timers.set(key, now + number)
            model[key] = now + number
        elif what == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            now += number
            fired = []
            while (due := timers.pop_due(now)) is not None:
                fired.append(due)
            assert sorted(fired) == sorted(k for k, at in model.items() if at <= now)
            model = {k: at for k, at in model.items() if at > now}
        assert len(timers) == len(model)
        deadline = timers.deadline()
        # Early is allowed, late is not.
        assert (deadline is None) == (not model)
        assert deadline is None or deadline <= min(model.values())


def test_cancelled_timers_do_not_pile_up() -> None:
    timers: Timers[int] = Timers()
    for key in range(10_000):
        timers.set(key, 1_000_000)
        timers.cancel(key)
    assert len(timers._heap) < 100


def test_extending_a_timer_again_and_again_adds_nothing() -> None:
    timers: Timers[str] = Timers()
    for now in range(10_000):
        timers.set("session", now + 45_000)
    assert len(timers._heap) == 1
    assert timers.pop_due(45_000) is None
    assert timers.pop_due(54_999) == "session"
