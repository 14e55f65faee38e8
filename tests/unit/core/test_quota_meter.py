"""Meters: who is counted together, what changes live, how many are kept."""

import pytest
from headrace.core.quota_meter import Meters
from headrace.core.quotas import CONNECTION, MUTATION, PRODUCE, REQUEST

APP, ANY = (("client-id", "app"),), (("client-id", None),)
ALICE = (("user", "alice"),)


def meters(quota=PRODUCE, limits=None, **options):
    made = Meters(quota, **options)
    made.configure(limits or {}, 0)
    return made


def test_nobody_is_limited_without_limits() -> None:
    none = meters()
    assert not none.enforced
    assert none.of("alice", "app", 0) is None


def test_clients_of_a_default_are_counted_each_alone() -> None:
    made = meters(limits={ANY: 100})
    assert made.of("alice", "app", 0) is not made.of("alice", "other", 0)
    assert made.of("alice", "app", 0) is made.of("bob", "app", 0)
    assert made.of("alice", "", 0) is not None, "a missing client id is no way around"


def test_clients_of_a_user_are_counted_together() -> None:
    made = meters(limits={ALICE: 100})
    assert made.of("alice", "app", 0) is made.of("alice", "other", 0)
    assert made.of("bob", "app", 0) is None


def test_a_wait_is_what_is_over_the_burst_by_the_rate() -> None:
    meter = meters(limits={APP: 1000}).of("", "app", 0)
    assert meter.charge(500, 0) == 0
    assert meter.charge(250, 0) == 250
    assert meter.wait_ms(100) == 150
    assert meter.used == 750


def test_waits_for_time_and_connections_end_with_the_window() -> None:
    assert meters(REQUEST, {APP: 1}).of("", "app", 0).charge(50, 0) == 1000
    assert meters(PRODUCE, {APP: 1}).of("", "app", 0).charge(50, 0) == 49_500


def test_within_the_limit_any_number_of_mutations_is_admitted_and_beyond_it_none() -> None:
    """KIP-599's example: a burst takes what it needs, what follows waits until it is paid."""
    meter = meters(MUTATION, {APP: 5}).of("", "app", 0)
    assert meter.admit(115, 0) == 0
    assert meter.admit(1, 0) == 12_000
    assert meter.used == 115, "what was refused is not counted"
    assert meter.admit(1, 12_000) == 0


def test_addresses_are_counted_each_alone_by_their_own_limit_or_the_default() -> None:
    made = meters(CONNECTION, {(("ip", None),): 1, (("ip", "10.0.0.1"),): 5})
    assert made.of("", "10.0.0.1", 0).limit == 5
    assert made.of("", "10.0.0.2", 0).limit == 1
    assert made.of("", "10.0.0.2", 0) is not made.of("", "10.0.0.3", 0)


def test_another_limit_of_the_same_entity_keeps_the_debt() -> None:
    made = meters(limits={APP: 100})
    assert made.of("", "app", 0).charge(1050, 0) == 10_000
    made.configure({APP: 1000}, 0)
    assert made.of("", "app", 0).wait_ms(0) == 1000


def test_a_more_specific_limit_takes_over_and_gives_back() -> None:
    made = meters(limits={APP: 100})
    general = made.of("alice", "app", 0)
    general.charge(100, 0)
    made.configure({APP: 100, ALICE: 7}, 0)
    assert made.of("alice", "app", 0).limit == 7
    assert made.of("bob", "app", 0) is general
    made.configure({APP: 100}, 0)
    assert made.of("alice", "app", 0) is general
    made.configure({}, 0)
    assert made.of("alice", "app", 0) is None
    assert len(made) == 0


def test_no_more_meters_than_the_bound_and_the_idle_ones_go_first() -> None:
    made = meters(limits={ANY: 1000}, most=10)
    debtor = made.of("", "debtor", 0)
    debtor.charge(10_000, 0)
    for number in range(1000):
        made.of("", f"client {number}", 0)
        assert len(made) <= 10
    assert made.of("", "debtor", 0) is debtor
    for number in range(100):
        made.of("", f"busy {number}", 0).charge(10_000, 0)
        assert len(made) <= 10
    assert made.of("", "busy 99", 0).wait_ms(0) > 0
    assert made.of("", "debtor", 0) is not debtor


def test_what_clients_are_called_is_bounded() -> None:
    made = meters(limits={ANY: 1000, (("client-id", "y" * 300),): 5})
    meter = made.of("", "x" * 30_000, 0)
    assert meter.who == ("", "x" * 256)
    assert made.of("", "x" * 29_000, 0) is meter
    assert made.of("", "y" * 300, 0).limit == 5


@pytest.mark.parametrize(("at_ms", "mean"), [(0, 15), (29_999, 15), (59_999, 15), (60_000, 0)])
def test_the_mean_wait_is_that_of_the_last_minute(at_ms: int, mean: float) -> None:
    meter = meters(limits={APP: 1000}).of("", "app", 0)
    meter.tell(10, 0)
    meter.tell(20, 0)
    assert meter.recent_throttle_ms(at_ms) == mean
    assert (meter.throttled, meter.throttled_ms) == (2, 30)
