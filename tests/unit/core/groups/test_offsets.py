"""Committed offsets: who may commit, what is kept, and when it goes."""

from uuid import UUID

import pytest
from headrace.base.errors import Code
from headrace.base.units import DAY_MS, MINUTE_MS
from headrace.config.broker import BrokerSettings
from headrace.core.coordinator import Outcome
from headrace.core.groups.group import GroupState
from headrace.core.groups.offsets import NO_TOPIC_ID, FetchTopic

from tests.groups import START_MS, Driver

OFFSET = {("t", 0): 42}


def code_of(answer: object) -> Code:
    """Of a commit of one partition."""
    if isinstance(answer, Code):
        return answer
    assert isinstance(answer, list)
    return Code(answer[0]["partitions"][0]["error_code"])


def fetched(driver: Driver, topic: str = "t", group: str = "g", index: int = 0) -> int:
    topics = driver.shard.fetch(group, [FetchTopic(topic, NO_TOPIC_ID, [index])])
    offset: int = topics[0]["partitions"][0]["committed_offset"]
    return offset


def test_a_consumer_outside_of_groups_makes_a_group_by_committing() -> None:
    driver = Driver()
    assert code_of(driver.commit(OFFSET)) is Code.NONE
    assert fetched(driver) == 42
    described = driver.shard.describe("g")
    assert described is not None
    assert (described["group_state"], described["protocol_type"]) == ("Empty", "")
    driver.restart()
    assert fetched(driver) == 42


def test_a_member_of_no_group_cannot_commit() -> None:
    driver = Driver()
    assert driver.commit(OFFSET, generation=0, version=8) is Code.ILLEGAL_GENERATION
    assert driver.commit(OFFSET, generation=0, version=9) is Code.GROUP_ID_NOT_FOUND


def test_members_commit_in_their_generation() -> None:
    driver = Driver()
    a, b = driver.stable(2)
    assert code_of(driver.commit(OFFSET, member_id=a, generation=1)) is Code.NONE
    assert driver.commit(OFFSET, member_id=a, generation=0) is Code.ILLEGAL_GENERATION
    assert driver.commit(OFFSET, member_id=a, generation=-1) is Code.ILLEGAL_GENERATION
    assert driver.commit(OFFSET, member_id="x", generation=1) is Code.UNKNOWN_MEMBER_ID
    assert driver.commit(OFFSET) is Code.UNKNOWN_MEMBER_ID
    driver.join(a)
    assert code_of(driver.commit(OFFSET, member_id=b, generation=1)) is Code.NONE
    driver.join(b)
    assert driver.commit(OFFSET, member_id=b, generation=2) is Code.REBALANCE_IN_PROGRESS


def test_text_that_is_too_long_is_refused_by_partition() -> None:
    driver = Driver(BrokerSettings(offset_metadata_max_bytes=4))
    assert code_of(driver.commit(OFFSET, metadata="abcde")) is Code.OFFSET_METADATA_TOO_LARGE
    assert fetched(driver) == -1
    assert code_of(driver.commit(OFFSET, metadata="abcd")) is Code.NONE
    # Java counts UTF-16 units: three of these are six.
    assert code_of(driver.commit(OFFSET, metadata="🙂🙂🙂")) is Code.OFFSET_METADATA_TOO_LARGE


def test_an_offset_is_not_shown_until_it_is_replayed() -> None:
    driver = Driver()
    driver.refuse_writes = Code.NOT_COORDINATOR
    assert driver.commit(OFFSET) is Code.NOT_COORDINATOR
    assert fetched(driver) == -1


def test_offsets_of_a_topic_that_was_created_anew_are_not_shown() -> None:
    driver = Driver()
    driver.commit(OFFSET)
    for topic_id, offset in ((UUID(int=7), 42), (UUID(int=8), -1), (NO_TOPIC_ID, 42)):
        found = driver.shard.fetch("g", [FetchTopic("t", topic_id, [0])])
        assert found[0]["partitions"][0]["committed_offset"] == offset


def test_deleting_a_topic_forgets_its_offsets_in_every_group() -> None:
    driver = Driver()
    driver.commit({("t", 0): 1, ("u", 0): 2})
    driver.commit({("t", 3): 1}, group="h")
    driver.ask(lambda token: driver.shard.forget_topics(["t", "none"]))
    assert [(g, t) for g, t, _, _ in driver.shard.offsets] == [("g", "u")]


def test_deleting_a_group_forgets_its_offsets() -> None:
    driver = Driver()
    (a,) = driver.stable(1)
    driver.commit(OFFSET, member_id=a, generation=1)

    def delete() -> Code:
        return Code(driver.answers[driver.ask(lambda token: driver.shard.delete_group("g"))])

    assert delete() is Code.NON_EMPTY_GROUP
    driver.leave((a, None))
    assert delete() is Code.NONE
    assert driver.shard.durable() == ({}, [])
    assert delete() is Code.GROUP_ID_NOT_FOUND


def test_a_group_of_another_kind_must_be_empty_to_lose_offsets() -> None:
    driver = Driver()
    driver.stable(1, protocol_type="connect")
    assert driver.shard.delete_offsets("g", [("t", [0])]) is Code.NON_EMPTY_GROUP


class TestExpiry:
    """offsets.retention.minutes; looked at each offsets.retention.check.interval.ms."""

    RETENTION_MS = 7 * DAY_MS
    LOOK_MS = 10 * MINUTE_MS

    def test_time_runs_from_when_the_group_became_empty(self) -> None:
        driver = Driver()
        (a,) = driver.stable(1, session_ms=1_800_000)
        driver.commit(OFFSET, member_id=a, generation=1)
        for _ in range(8 * 24 * 3):
            driver.wait(20 * MINUTE_MS)
            assert driver.beat(a, 1) is Code.NONE
        assert fetched(driver) == 42
        driver.leave((a, None))
        driver.wait(self.RETENTION_MS - self.LOOK_MS)
        assert fetched(driver) == 42
        driver.wait(2 * self.LOOK_MS)
        assert fetched(driver) == -1
        assert not driver.shard.groups

    def test_offsets_of_consumers_outside_of_groups_age_from_their_commit(self) -> None:
        driver = Driver()
        driver.commit({("t", 0): 1})
        driver.wait(DAY_MS)
        driver.commit({("t", 1): 2})
        driver.wait(self.RETENTION_MS - DAY_MS + self.LOOK_MS)
        assert (fetched(driver), fetched(driver, index=1)) == (-1, 2)
        driver.wait(DAY_MS)
        assert not driver.shard.groups

    def test_a_topic_that_a_stable_group_no_longer_reads_ages(self) -> None:
        driver = Driver()
        (a,) = driver.stable(1, session_ms=1_800_000)
        driver.commit({("t", 0): 1, ("old", 0): 2}, member_id=a, generation=1)
        for _ in range(8 * 24 * 3):
            driver.wait(20 * MINUTE_MS)
            driver.beat(a, 1)
        assert (fetched(driver), fetched(driver, "old")) == (1, -1)

    def test_a_group_that_rebalances_loses_nothing(self) -> None:
        driver = Driver()
        a, b = driver.stable(2, session_ms=1_800_000, rebalance_ms=2**31 - 1)
        driver.commit({("old", 0): 2}, member_id=a, generation=1)
        driver.join(a, session_ms=1_800_000, rebalance_ms=2**31 - 1)
        for _ in range(8 * 24 * 3):
            driver.wait(20 * MINUTE_MS)
            assert driver.beat(b, 1) is Code.REBALANCE_IN_PROGRESS
        assert fetched(driver, "old") == 2

    def test_a_retention_that_the_client_asks_for_holds(self) -> None:
        driver = Driver()
        driver.commit(OFFSET, retention_ms=30 * MINUTE_MS, version=4)
        driver.restart()
        driver.wait(20 * MINUTE_MS)
        assert fetched(driver) == 42
        driver.wait(20 * MINUTE_MS)
        assert fetched(driver) == -1

    def test_a_group_without_members_or_offsets_goes(self) -> None:
        driver = Driver()
        driver.join()
        assert driver.shard.groups["g"].state is GroupState.EMPTY
        driver.wait(self.LOOK_MS)
        assert not driver.shard.groups and driver.replayed().durable() == ({}, [])

    def test_many_groups_are_looked_at_in_slices(self) -> None:
        driver = Driver(laws=False)
        for number in range(1200):
            driver.commit(OFFSET, group=f"g{number}")
        driver.now_ms = self.RETENTION_MS
        rounds = 0
        outcome: Outcome | None
        while (outcome := driver.shard.expire(driver.now)) is not None:
            assert len(outcome.records) <= 1000
            for record in outcome.records:
                driver.shard.replay(record)
            rounds += 1
        assert rounds == 3
        assert not driver.shard.groups


@pytest.mark.parametrize("empty", [True, False])
def test_the_log_says_when_a_group_became_empty(empty: bool) -> None:
    driver = Driver()
    (a,) = driver.stable(1)
    driver.wait(5000)
    if empty:
        driver.leave((a, None))
    written = driver.replayed().groups["g"].written
    assert written.current_state_timestamp_ms == START_MS + (5000 if empty else 0)
    assert bool(written.members) is not empty


def test_metadata_that_is_no_subscription_is_no_crash() -> None:
    driver = Driver()
    (a,) = driver.stable(1, protocols=(("range", b"\x00"),))
    driver.commit({("any", 0): 1}, member_id=a, generation=1)
    # What the group reads is not known, so nothing of it is thought unused.
    answered = driver.shard.delete_offsets("g", [("any", [0])])
    assert isinstance(answered, Outcome)
    assert answered.answer[0]["partitions"][0]["error_code"] is Code.GROUP_SUBSCRIBED_TO_TOPIC
