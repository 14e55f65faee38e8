"""Static members (KIP-345): replaced, fenced, and unnoticed when they come back unchanged."""

from headrace.base.errors import Code
from headrace.core.groups.group import GroupState

from tests.groups import Driver


def code(driver: Driver, token: int) -> Code:
    return Code(driver.answers[token]["error_code"])


def static_pair(driver: Driver, **joining: int) -> tuple[str, str]:
    """A stable group of the static members i1 (who leads) and i2; their ids."""
    tokens = [driver.join(instance=name, **joining) for name in ("i1", "i2")]
    driver.wait(0)
    one, two = (driver.answers[token]["member_id"] for token in tokens)
    assert (one, two) == ("i1-1", "i2-2")
    driver.sync(two, 1, instance="i2")
    driver.sync(one, 1, {one: b"1", two: b"2"}, instance="i1")
    assert driver.shard.groups["g"].state is GroupState.STABLE
    return one, two


def test_a_static_member_joins_at_once() -> None:
    driver = Driver()
    token = driver.join(instance="i1")
    driver.wait(0)
    assert code(driver, token) is Code.NONE


def test_a_follower_that_restarts_takes_its_place_and_nobody_notices() -> None:
    driver = Driver()
    one, two = static_pair(driver)
    token = driver.join(instance="i2")
    answer = driver.answers[token]
    assert answer["error_code"] is Code.NONE
    assert answer["generation_id"] == 1
    assert answer["leader"] == one
    assert answer["member_id"] != two
    assert driver.beat(one, 1, instance="i1") is Code.NONE
    # The new id is in the log, so it survives a restart.
    driver.restart()
    kept = driver.sync(answer["member_id"], 1, instance="i2")
    assert driver.answers[kept]["assignment"] == b"2"


def test_a_leader_that_restarts_is_told_to_skip_the_assignment() -> None:
    driver = Driver()
    static_pair(driver)
    token = driver.join(instance="i1")
    answer = driver.answers[token]
    assert answer["skip_assignment"] is True
    assert answer["leader"] == answer["member_id"]
    assert len(answer["members"]) == 2


def test_before_v9_a_leader_that_restarts_is_told_that_its_old_self_leads() -> None:
    driver = Driver()
    one, _ = static_pair(driver)
    token = driver.join(instance="i1", version=8)
    answer = driver.answers[token]
    assert answer["leader"] == one
    assert answer["members"] == ()
    assert answer["skip_assignment"] is False


def test_the_old_id_is_fenced() -> None:
    driver = Driver()
    _, two = static_pair(driver)
    driver.join(instance="i2")
    assert driver.beat(two, 1, instance="i2") is Code.FENCED_INSTANCE_ID
    assert driver.beat(two, 1) is Code.UNKNOWN_MEMBER_ID
    assert driver.beat(two, 1, instance="i3") is Code.UNKNOWN_MEMBER_ID
    assert code(driver, driver.join(two, instance="i2")) is Code.FENCED_INSTANCE_ID
    assert code(driver, driver.sync(two, 1, instance="i2")) is Code.FENCED_INSTANCE_ID
    fenced = driver.commit({("t", 0): 1}, member_id=two, generation=1, instance="i2")
    assert fenced is Code.FENCED_INSTANCE_ID
    token = driver.leave((two, "i2"))
    assert driver.answers[token]["members"][0]["error_code"] is Code.FENCED_INSTANCE_ID


def test_whoever_waits_under_the_old_id_is_fenced() -> None:
    driver = Driver()
    one, two = static_pair(driver)
    waits = driver.join(one, instance="i1")
    assert waits not in driver.answers
    again = driver.join(instance="i1")
    assert code(driver, waits) is Code.FENCED_INSTANCE_ID
    driver.join(two, instance="i2")
    assert driver.answers[again]["generation_id"] == 2


def test_a_replacement_while_completing_begins_again() -> None:
    driver = Driver()
    leads, follows = driver.join(instance="i1"), driver.join(instance="i2")
    driver.wait(0)
    one, two = (driver.answers[token]["member_id"] for token in (leads, follows))
    waits = driver.sync(two, 1, instance="i2")
    driver.join(instance="i2")
    assert code(driver, waits) is Code.FENCED_INSTANCE_ID
    assert driver.beat(one, 1, instance="i1") is Code.REBALANCE_IN_PROGRESS


def test_a_replacement_that_would_change_the_protocol_rebalances() -> None:
    driver = Driver()
    both = (("range", b""), ("sticky", b""))
    driver.join(instance="i1", protocol_type="x", protocols=both)
    driver.wait(0)
    driver.sync("i1-1", 1, {"i1-1": b""}, instance="i1")
    token = driver.join(instance="i1", protocol_type="x", protocols=both[::-1])
    assert driver.answers[token]["generation_id"] == 2
    assert driver.answers[token]["protocol_name"] == "sticky"


def test_a_replacement_that_is_not_written_gives_the_place_back() -> None:
    driver = Driver()
    _, two = static_pair(driver)
    driver.refuse_writes = Code.COORDINATOR_NOT_AVAILABLE
    token = driver.join(instance="i2")
    assert code(driver, token) is Code.COORDINATOR_NOT_AVAILABLE
    assert driver.beat(two, 1, instance="i2") is Code.NONE


def test_a_replacement_that_waited_long_for_its_write_still_has_a_session() -> None:
    driver = Driver()
    driver.join(instance="i1")
    driver.wait(0)
    driver.sync("i1-1", 1, {"i1-1": b""}, instance="i1")
    driver.hold = True
    token = driver.join(instance="i1")
    driver.wait(10_000)
    driver.hold = False
    driver.release()
    assert code(driver, token) is Code.NONE
    driver.wait(10_000)
    assert driver.shard.groups["g"].state is GroupState.EMPTY


def test_a_static_member_is_not_dropped_when_it_does_not_rejoin_in_time() -> None:
    driver = Driver()
    one, two = static_pair(driver, session_ms=60_000, rebalance_ms=5000)
    token = driver.join(one, instance="i1", session_ms=60_000, rebalance_ms=5000)
    driver.wait(5000)
    assert driver.answers[token]["generation_id"] == 2
    assert two in driver.shard.groups["g"].members


def test_an_administrator_removes_by_instance_id() -> None:
    driver = Driver()
    _, two = static_pair(driver)
    token = driver.leave(("", "i2"))
    assert driver.answers[token]["members"][0]["error_code"] is Code.NONE
    assert two not in driver.shard.groups["g"].members
