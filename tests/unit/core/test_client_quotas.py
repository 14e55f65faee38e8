"""What AlterClientQuotas and DescribeClientQuotas refuse; what they do is in tests/laws."""

from math import inf, nan

import pytest
from headrace.base.errors import Code, Refusal
from headrace.core.client_quotas import (
    DEFAULT,
    EXACT,
    SPECIFIED,
    Alteration,
    Component,
    alter,
    as_asked,
    select,
)

APP = (("client-id", "app"),)
RATE = "producer_byte_rate"


def refusal(entity, *changes):
    after, answers = alter({}, [Alteration(entity=as_asked(entity), changes=changes)])
    (answer,) = answers.values()
    assert answer is None or not after
    return answer


@pytest.mark.parametrize(
    ("entity", "says"),
    [
        ((), "empty"),
        ((("group", "g"),), "no entity type group"),
        ((("user", ""),), "not empty"),
        ((("ip", "127.0.0.1"), ("user", "u")), "not combined"),
        ((("ip", "not an address"),), "not an IP address"),
    ],
)
def test_entities_that_cannot_be(entity, says) -> None:
    refused = refusal(entity, (RATE, 1.0))
    assert isinstance(refused, Refusal)
    assert refused.code == Code.INVALID_REQUEST
    assert says in refused.message


@pytest.mark.parametrize(
    ("entity", "key", "value", "says"),
    [
        (APP, "no_such_rate", 1.0, "There is no quota no_such_rate"),
        (APP, "connection_creation_rate", 1.0, "There is no quota"),
        ((("ip", None),), RATE, 1.0, "There is no quota"),
        (APP, RATE, 0.0, "greater than 0"),
        (APP, RATE, -1.0, "greater than 0"),
        (APP, "request_percentage", nan, "greater than 0"),
        (APP, RATE, 1.5, "whole number"),
        (APP, RATE, 2.0**64, "at most"),
        (APP, RATE, inf, "at most"),
        ((("ip", None),), "connection_creation_rate", 2.0**31, "at most"),
    ],
)
def test_values_that_cannot_be(entity, key, value, says) -> None:
    refused = refusal(entity, (key, value))
    assert isinstance(refused, Refusal)
    assert refused.code == Code.INVALID_REQUEST
    assert says in refused.message


def test_what_may_have_a_fraction_and_what_may_be_removed() -> None:
    assert refusal(APP, ("request_percentage", 0.5), ("controller_mutation_rate", 1.5)) is None
    assert refusal(APP, ("no_such_rate", None)) is None, "as in Kafka"
    assert refusal((("ip", "::1"),), ("connection_creation_rate", 5.0)) is None


def test_one_value_that_cannot_be_changes_nothing_of_its_entity_and_all_of_others() -> None:
    bad = Alteration(entity=APP, changes=(("consumer_byte_rate", 5.0), (RATE, -1.0)))
    good = Alteration(entity=(("user", None),), changes=((RATE, 5.0),))
    after, answers = alter({}, [bad, good])
    assert after == {(("user", None),): {RATE: 5.0}}
    assert answers[APP] is not None
    assert answers[("user", None),] is None


def test_an_entity_is_named_once_and_so_is_a_key() -> None:
    one = Alteration(entity=APP, changes=((RATE, 5.0),))
    after, answers = alter({}, [one, one])
    assert after == {APP: {RATE: 5.0}}
    assert answers[APP] is not None
    assert refusal(APP, (RATE, 5.0), (RATE, 6.0)) is not None


@pytest.mark.parametrize(
    ("components", "code"),
    [
        ([("", EXACT, "a")], Code.INVALID_REQUEST),
        ([("user", EXACT, "a"), ("user", DEFAULT, None)], Code.INVALID_REQUEST),
        ([("group", EXACT, "a")], Code.UNSUPPORTED_VERSION),
        ([("user", EXACT, None)], Code.INVALID_REQUEST),
        ([("user", DEFAULT, "a")], Code.INVALID_REQUEST),
        ([("user", SPECIFIED, "a")], Code.INVALID_REQUEST),
        ([("user", 7, None)], Code.INVALID_REQUEST),
        ([("user", EXACT, "a"), ("ip", SPECIFIED, None)], Code.INVALID_REQUEST),
    ],
)
def test_filters_that_cannot_be(components, code) -> None:
    made = [Component(kind=k, match_type=t, match=m) for k, t, m in components]
    refused = select({}, made, strict=False)
    assert isinstance(refused, Refusal)
    assert refused.code == code
