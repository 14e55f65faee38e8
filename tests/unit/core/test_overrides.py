"""Changing dynamic settings: operations, and who may change what."""

import pytest
from headrace.base.errors import Code, Refusal
from headrace.config.table import broker_keys
from headrace.config.topic import TOPIC_KEYS
from headrace.core.overrides import (
    APPEND,
    DELETE,
    SUBTRACT,
    Change,
    altered,
    check_changes,
    refuse_broker,
)


def test_operations_in_order() -> None:
    before = {"retention.ms": "1", "cleanup.policy": "compact"}
    after = altered(
        before,
        [
            Change("retention.ms", None, DELETE),
            Change("cleanup.policy", "delete,compact", APPEND),
            Change("segment.ms", "5"),
        ],
        TOPIC_KEYS,
    )
    assert after == {"cleanup.policy": "compact,delete", "segment.ms": "5"}
    assert before == {"retention.ms": "1", "cleanup.policy": "compact"}


def test_lists_start_from_the_default() -> None:
    assert altered({}, [Change("cleanup.policy", "compact", APPEND)], TOPIC_KEYS) == {
        "cleanup.policy": "delete,compact"
    }
    assert altered({}, [Change("cleanup.policy", "delete", SUBTRACT)], TOPIC_KEYS) == {
        "cleanup.policy": ""
    }


@pytest.mark.parametrize("name", ["retention.ms", "nope"])
def test_only_lists_can_be_appended_to(name: str) -> None:
    refused = altered({}, [Change(name, "1", APPEND)], TOPIC_KEYS)
    assert isinstance(refused, Refusal) and refused.code is Code.INVALID_CONFIG


def test_changes_that_are_wrong_whatever_they_are_about() -> None:
    assert check_changes([Change("a", "1"), Change("b", None, DELETE)]) is None
    for changes in (
        [Change("a", "1"), Change("a", "2")],
        [Change("a", None)],
        [Change("a", "", 4)],
    ):
        refused = check_changes(changes)
        assert refused is not None and refused.code is Code.INVALID_REQUEST


def test_static_settings_are_not_changed_at_run_time() -> None:
    for key in broker_keys().values():
        if key.update.value == "read-only" and key.default is not None:
            assert refuse_broker({}, {}, {key.name: "1"}, "1") is not None, key.name
    assert refuse_broker({}, {}, {"max.connections": "1"}, "") is None
    assert refuse_broker({}, {}, {"nope": "1"}, "") is not None


def test_what_stood_there_before_is_not_held_against_a_change() -> None:
    before = {"num.partitions": "3"}
    assert refuse_broker({}, before, {**before, "max.connections": "1"}, "") is None
    assert refuse_broker({}, before, {"num.partitions": "4"}, "") is not None
