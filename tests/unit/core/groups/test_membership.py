"""The classic group protocol, case by case, as Kafka 4.3 answers."""

import pytest
from headrace.base.errors import Code
from headrace.config.broker import BrokerSettings
from headrace.core.coordinator import Outcome
from headrace.core.groups.group import GroupState
from headrace.core.groups.rebalance import JoinPhase

from tests.groups import Driver, subscription


def code(driver: Driver, token: int) -> Code:
    return Code(driver.answers[token]["error_code"])


def state(driver: Driver, group: str = "g") -> GroupState:
    return driver.shard.groups[group].state


def test_a_new_dynamic_member_is_first_given_its_id() -> None:
    driver = Driver()
    token = driver.join(client="app")
    assert code(driver, token) is Code.MEMBER_ID_REQUIRED
    assert driver.answers[token]["member_id"] == "app-1"
    assert state(driver) is GroupState.EMPTY
    # The group exists from now on, also after a restart.
    assert list(driver.replayed().groups) == ["g"]


def test_before_v4_a_new_member_joins_at_once() -> None:
    driver = Driver()
    token = driver.join(version=3)
    driver.wait(0)
    assert code(driver, token) is Code.NONE
    assert driver.answers[token]["leader"] == driver.answers[token]["member_id"] == "c-1"


def test_an_unknown_group_with_a_member_id_is_an_unknown_member() -> None:
    driver = Driver()
    assert code(driver, driver.join("who")) is Code.UNKNOWN_MEMBER_ID
    assert not driver.shard.groups


def test_the_initial_delay_is_extended_while_members_come() -> None:
    driver = Driver(BrokerSettings(group_initial_rebalance_delay_ms=3000))
    _, first = driver.member(rebalance_ms=10_000)
    driver.wait(2000)
    _, second = driver.member(rebalance_ms=10_000)
    driver.wait(2000)
    assert not {first, second} & driver.answers.keys()
    driver.wait(2000)
    assert {first, second} <= driver.answers.keys()
    assert driver.answers[first]["generation_id"] == 1


def test_the_initial_delay_ends_with_the_rebalance_timeout() -> None:
    driver = Driver(BrokerSettings(group_initial_rebalance_delay_ms=3000))
    tokens = []
    for _ in range(5):
        tokens.append(driver.member(rebalance_ms=7000)[1])
        driver.wait(1500)
    # 3 s and 3 s and the 1 s that is left of the 7 s.
    assert all(token in driver.answers for token in tokens[:4])


def test_only_the_leader_sees_the_members_and_its_assignment_reaches_them_as_sent() -> None:
    driver = Driver()
    (a, at), (b, bt) = driver.member(), driver.member()
    driver.wait(0)
    leader = driver.answers[at]["leader"]
    assert [m["member_id"] for m in driver.answers[at]["members"]] == [a, b]
    assert driver.answers[bt]["members"] == ()
    assert leader == a
    waits = driver.sync(b, 1)
    assert waits not in driver.answers
    leads = driver.sync(a, 1, {a: b"left", b: b"right"})
    assert driver.answers[leads]["assignment"] == b"left"
    assert driver.answers[waits]["assignment"] == b"right"
    assert state(driver) is GroupState.STABLE


def test_nobody_gets_an_assignment_before_it_is_committed() -> None:
    driver = Driver()
    a, _ = driver.member()
    driver.wait(0)
    driver.hold = True
    token = driver.sync(a, 1, {a: b"x"})
    assert token not in driver.answers
    assert state(driver) is GroupState.COMPLETING_REBALANCE
    driver.release()
    assert driver.answers[token]["assignment"] == b"x"


def test_an_assignment_that_is_not_written_makes_the_group_rebalance() -> None:
    driver = Driver()
    a, _ = driver.member()
    driver.wait(0)
    driver.refuse_writes = Code.COORDINATOR_NOT_AVAILABLE
    token = driver.sync(a, 1, {a: b"x"})
    assert code(driver, token) is Code.COORDINATOR_NOT_AVAILABLE
    assert state(driver) is GroupState.PREPARING_REBALANCE


def test_a_group_that_is_not_written_is_not_there() -> None:
    driver = Driver()
    driver.refuse_writes = Code.NOT_COORDINATOR
    assert code(driver, driver.join()) is Code.NOT_COORDINATOR
    assert not driver.shard.groups
    assert code(driver, driver.join(version=3)) is Code.NOT_COORDINATOR
    assert not driver.shard.groups and driver.shard.deadline() is not None


def test_a_rebalance_waits_for_all_or_for_the_timeout() -> None:
    driver = Driver()
    a, b = driver.stable(2, rebalance_ms=30_000, session_ms=60_000)
    c, ct = driver.member(rebalance_ms=20_000, session_ms=60_000)
    assert driver.beat(a, 1) is Code.REBALANCE_IN_PROGRESS
    at = driver.join(a, rebalance_ms=30_000, session_ms=60_000)
    assert at not in driver.answers
    driver.wait(29_999)
    assert ct not in driver.answers
    driver.wait(1)
    assert driver.answers[ct]["generation_id"] == 2
    assert list(driver.shard.groups["g"].members) == [a, c]
    assert driver.beat(b, 1) is Code.UNKNOWN_MEMBER_ID


def test_a_leader_that_does_not_rejoin_is_replaced() -> None:
    driver = Driver()
    a, b = driver.stable(2, session_ms=60_000, rebalance_ms=5000)
    bt = driver.join(
        b,
        session_ms=60_000,
        rebalance_ms=5000,
        protocols=(("range", subscription("t", "u")),),
    )
    driver.wait(5000)
    assert driver.answers[bt]["leader"] == b
    assert a not in driver.shard.groups["g"].members


def test_a_follower_that_joins_a_stable_group_unchanged_is_told_the_generation() -> None:
    driver = Driver()
    _, b = driver.stable(2)
    token = driver.join(b)
    assert driver.answers[token]["generation_id"] == 1
    assert state(driver) is GroupState.STABLE


def test_a_leader_that_joins_a_stable_group_asks_for_a_rebalance() -> None:
    driver = Driver()
    a, b = driver.stable(2)
    token = driver.join(a)
    assert token not in driver.answers
    assert driver.beat(b, 1) is Code.REBALANCE_IN_PROGRESS
    driver.join(b)
    assert driver.answers[token]["generation_id"] == 2


def test_a_join_that_is_repeated_while_completing_is_answered_again() -> None:
    driver = Driver()
    a, at = driver.member()
    driver.wait(0)
    again = driver.join(a)
    assert driver.answers[again] == driver.answers[at]


def test_the_first_of_two_joins_at_once_is_told_to_join_again() -> None:
    driver = Driver()
    a, _ = driver.stable(2)
    first = driver.join(a)
    second = driver.join(a)
    assert code(driver, first) is Code.REBALANCE_IN_PROGRESS
    assert second not in driver.answers


def test_members_vote_for_the_protocol_they_all_offer() -> None:
    driver = Driver()

    def offers(*names: str) -> tuple[tuple[str, bytes], ...]:
        return tuple((name, b"") for name in names)

    _, t = driver.member(protocols=offers("range", "sticky", "odd"), protocol_type="x")
    driver.member(protocols=offers("sticky", "range"), protocol_type="x")
    driver.member(protocols=offers("sticky", "range"), protocol_type="x")
    driver.wait(0)
    assert driver.answers[t]["protocol_name"] == "sticky"
    refused = driver.join(protocols=offers("odd"), protocol_type="x")
    assert code(driver, refused) is Code.INCONSISTENT_GROUP_PROTOCOL
    refused = driver.join(protocols=offers("range"), protocol_type="connect")
    assert code(driver, refused) is Code.INCONSISTENT_GROUP_PROTOCOL


def test_an_empty_group_takes_any_type_but_none() -> None:
    driver = Driver()
    driver.join()
    assert code(driver, driver.join(protocols=())) is Code.INCONSISTENT_GROUP_PROTOCOL
    assert code(driver, driver.join(protocol_type="")) is Code.INCONSISTENT_GROUP_PROTOCOL


def test_a_new_group_is_there_even_if_its_first_member_is_refused() -> None:
    driver = Driver()
    assert code(driver, driver.join(protocols=())) is Code.INCONSISTENT_GROUP_PROTOCOL
    assert state(driver) is GroupState.EMPTY
    assert list(driver.replayed().groups) == ["g"]


def test_a_silent_member_is_dropped_and_the_rest_rebalance() -> None:
    driver = Driver()
    a, b = driver.stable(2, session_ms=10_000)
    driver.wait(6000)
    assert driver.beat(a, 1) is Code.NONE
    driver.wait(4000)
    assert driver.beat(a, 1) is Code.REBALANCE_IN_PROGRESS
    assert b not in driver.shard.groups["g"].members


def test_commits_keep_a_member_alive() -> None:
    driver = Driver()
    (a,) = driver.stable(1, session_ms=10_000)
    for _ in range(5):
        driver.wait(9000)
        driver.commit({("t", 0): 1}, member_id=a, generation=1)
    assert state(driver) is GroupState.STABLE


def test_an_id_that_is_not_used_is_forgotten_and_holds_up_nobody() -> None:
    driver = Driver()
    a, _ = driver.stable(2)
    pending = driver.answers[driver.join(session_ms=10_000)]["member_id"]
    waits = driver.join(a)
    driver.join(next(m for m in driver.shard.groups["g"].members if m != a))
    assert waits not in driver.answers
    driver.wait(10_000)
    assert driver.answers[waits]["generation_id"] == 2
    assert code(driver, driver.join(pending)) is Code.UNKNOWN_MEMBER_ID


def test_members_that_never_ask_for_their_assignment_are_dropped() -> None:
    driver = Driver()
    (a, _), (b, _) = (driver.member(session_ms=60_000, rebalance_ms=15_000) for _ in range(2))
    driver.wait(0)
    driver.sync(a, 1, {a: b"", b: b""})
    driver.wait(14_999)
    assert b in driver.shard.groups["g"].members
    driver.wait(1)
    assert b not in driver.shard.groups["g"].members
    assert state(driver) is GroupState.PREPARING_REBALANCE


def test_the_last_member_leaves_an_empty_group_behind() -> None:
    driver = Driver()
    (a,) = driver.stable(1)
    token = driver.leave((a, None))
    assert driver.answers[token]["members"][0]["error_code"] is Code.NONE
    group = driver.shard.groups["g"]
    assert (group.state, group.generation_id) == (GroupState.EMPTY, 2)
    assert driver.replayed().groups["g"].written.generation == 2


def test_leaving_is_answered_one_by_one() -> None:
    driver = Driver()
    a, b, _ = driver.stable(3)
    pending = driver.answers[driver.join()]["member_id"]
    token = driver.leave((a, None), ("who", None), (pending, None), (b, "no-such"), ("", "none"))
    assert [m["error_code"].name for m in driver.answers[token]["members"]] == [
        "NONE",
        "UNKNOWN_MEMBER_ID",
        "NONE",
        "UNKNOWN_MEMBER_ID",
        "UNKNOWN_MEMBER_ID",
    ]
    missing = driver.leave(("x", None), group="none")
    assert driver.answers[missing]["members"][0]["error_code"] is Code.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize(
    ("member", "generation", "expected"),
    [
        ("self", 1, Code.NONE),
        ("self", 0, Code.ILLEGAL_GENERATION),
        ("x", 1, Code.UNKNOWN_MEMBER_ID),
    ],
)
def test_heartbeats_and_syncs_name_a_member_and_its_generation(
    member: str, generation: int, expected: Code
) -> None:
    driver = Driver()
    (a,) = driver.stable(1)
    who = a if member == "self" else member
    assert driver.beat(who, generation) is expected
    assert code(driver, driver.sync(who, generation)) is expected


def test_a_sync_names_the_protocol_of_the_group() -> None:
    driver = Driver()
    (a,) = driver.stable(1)
    wrong = driver.sync(a, 1, protocol_type="consumer", protocol_name="other")
    assert code(driver, wrong) is Code.INCONSISTENT_GROUP_PROTOCOL
    right = driver.sync(a, 1, protocol_type="consumer", protocol_name="range")
    assert code(driver, right) is Code.NONE


def test_syncs_while_a_rebalance_is_prepared_are_told_so() -> None:
    driver = Driver()
    a, b = driver.stable(2)
    driver.join(a)
    assert code(driver, driver.sync(b, 1)) is Code.REBALANCE_IN_PROGRESS
    assert code(driver, driver.sync("x", 1, group="none")) is Code.UNKNOWN_MEMBER_ID


def test_a_change_while_completing_sends_everybody_back() -> None:
    driver = Driver()
    (a, _), (b, _) = driver.member(), driver.member()
    driver.wait(0)
    waits = driver.sync(b, 1)
    driver.join(b, protocols=(("range", subscription("other")),))
    assert code(driver, waits) is Code.REBALANCE_IN_PROGRESS
    assert driver.beat(a, 1) is Code.REBALANCE_IN_PROGRESS


def test_a_full_group_takes_nobody() -> None:
    driver = Driver(BrokerSettings(group_initial_rebalance_delay_ms=0, group_max_size=2))
    driver.stable(2)
    token = driver.join()
    assert code(driver, token) is Code.GROUP_MAX_SIZE_REACHED
    assert driver.answers[token]["member_id"] == ""


def test_a_smaller_limit_evicts_the_last_to_rejoin() -> None:
    driver = Driver()
    a, b, c = driver.stable(3)
    driver.settings = BrokerSettings(group_initial_rebalance_delay_ms=0, group_max_size=2)
    driver.restart()
    assert state(driver) is GroupState.PREPARING_REBALANCE
    driver.join(a)
    driver.join(b)
    assert code(driver, driver.join(c)) is Code.GROUP_MAX_SIZE_REACHED
    assert c not in driver.shard.groups["g"].members


def test_a_restart_keeps_members_generation_and_assignments() -> None:
    driver = Driver()
    a, b = driver.stable(2)
    driver.restart()
    group = driver.shard.groups["g"]
    assert (group.state, group.generation_id, group.leader_id) == (GroupState.STABLE, 1, a)
    assert driver.beat(b, 1) is Code.NONE
    assert driver.answers[driver.sync(b, 1)]["assignment"] == b.encode()
    driver.wait(10_000)
    assert group.state is GroupState.EMPTY


@pytest.mark.parametrize("rebalance_ms", [-(2**31), -1, 0])
def test_a_rebalance_timeout_that_is_none_does_not_time_the_group_in_a_loop(
    rebalance_ms: int,
) -> None:
    driver = Driver()
    static = driver.join(instance="s", rebalance_ms=rebalance_ms)
    driver.wait(0)
    member_id = driver.answers[static]["member_id"]
    driver.sync(member_id, 1, {member_id: b""}, instance="s")
    # It stays silent while a second one comes and goes: nobody is left who could lead.
    driver.join(instance="t", rebalance_ms=rebalance_ms)
    group = driver.shard.groups["g"]
    driver.shard._rebalances.drop(group, group.members[group.static_members["t"]], Outcome())
    for _ in range(3):
        driver.shard._rebalances.complete(group, Outcome(), driver.now)
        deadline = driver.shard._timers.get(JoinPhase("g"))
        assert deadline is not None and deadline >= driver.now_ms + 1000


def test_who_only_holds_an_id_keeps_no_group_from_being_empty() -> None:
    driver = Driver()
    static = driver.join(instance="s")
    driver.wait(0)
    member_id = driver.answers[static]["member_id"]
    driver.sync(member_id, 1, {member_id: b""}, instance="s")
    driver.join()  # is told its id, and never comes back
    driver.leave((member_id, "s"))
    driver.wait(0)
    assert driver.shard.groups["g"].state is GroupState.EMPTY
