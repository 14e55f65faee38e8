"""Quotas against models that are too simple to be wrong."""

from fractions import Fraction
from itertools import accumulate, pairwise

from headrace.base.image import QuotaEntity, QuotaState
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
from headrace.core.quotas import CLIENT_ID, FETCH, IP, MUTATION, PRODUCE, USER, of_client
from headrace.core.token_bucket import TokenBucket
from headrace.meta.keys import Keys, quota_entity
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", None])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
STEPS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 5000)), min_size=1, max_size=40)


@st.composite
def entities(draw: st.DrawFn, names: st.SearchStrategy[str | None] = NAMES) -> QuotaEntity:
    kinds = draw(st.sampled_from([(USER, CLIENT_ID), (USER,), (CLIENT_ID,)]))
    return tuple((kind, draw(names)) for kind in kinds)


@given(rate=st.integers(1, 5000), burst_s=st.integers(0, 10), steps=STEPS)
def test_a_bucket_is_a_balance_that_grows_up_to_its_burst(
    rate: int, burst_s: int, steps: list[tuple[int, int]]
) -> None:
    bucket = TokenBucket(rate, burst_s, 0)
    balance, now_ms = Fraction(rate * burst_s), 0
    for gap_ms, amount in steps:
        now_ms += gap_ms
        balance = min(balance + Fraction(rate * gap_ms, 1000), Fraction(rate * burst_s))
        balance -= amount
        bucket.take(amount, now_ms)
        owed_ms = max(-balance / rate * 1000, Fraction(0))
        assert abs(bucket.wait_ms(now_ms) - owed_ms) <= Fraction(501, 1000)


@given(rate=st.integers(1, 5000), steps=STEPS, data=st.data())
def test_who_heeds_the_waits_stays_within_the_rate_in_every_interval(
    rate: int, steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Over any interval: the rate, the burst, and the one request that went over."""
    burst_s = data.draw(st.sampled_from([0.0, PRODUCE.burst_s, 1.0]))
    bucket = TokenBucket(rate, burst_s, 0)
    now_ms, done = 0, []
    for gap_ms, amount in steps:
        now_ms += gap_ms
        bucket.take(amount, now_ms)
        done.append((now_ms, amount))
        now_ms += bucket.wait_ms(now_ms) + 1  # Waits are whole milliseconds, rounded.
    for first in range(len(done)):
        taken = list(accumulate(amount for _, amount in done[first:]))
        for (at_ms, amount), used in zip(done[first:], taken, strict=True):
            allowed = rate * (at_ms - done[first][0]) / 1000 + rate * burst_s
            assert used - amount <= allowed + rate / 1000


@given(steps=STEPS)
def test_a_wait_that_was_kept_is_over(steps: list[tuple[int, int]]) -> None:
    bucket, now_ms = TokenBucket(100, 1.0, 0), 0
    for gap_ms, amount in steps:
        now_ms += gap_ms
        bucket.take(amount, now_ms)
        waits = [bucket.wait_ms(now_ms + ms) for ms in (0, 1, 5, 100)]
        assert all(later <= earlier for earlier, later in pairwise(waits))
        assert bucket.wait_ms(now_ms + waits[0] + 1) == 0


@given(st.sets(entities()), st.sampled_from(["a", "b", "c"]), st.sampled_from(["a", "b", "c"]))
def test_the_most_specific_limit_counts(limits: set[QuotaEntity], user: str, client: str) -> None:
    """A user's before a default user's before none; then the same for client ids (KIP-257)."""

    def rank(entity: QuotaEntity) -> tuple[int, int]:
        named = dict(entity)
        ranks = [
            0 if kind not in named else 1 if named[kind] is None else 2
            for kind in (USER, CLIENT_ID)
        ]
        return ranks[0], ranks[1]

    matching = [
        entity
        for entity in limits
        if all(name in (None, {USER: user, CLIENT_ID: client}[kind]) for kind, name in entity)
    ]
    found = of_client(limits, user, client)
    if not matching:
        assert found is None
        return
    best = max(matching, key=rank)
    kinds = dict(best)
    assert found == (best, (user if USER in kinds else "", client if CLIENT_ID in kinds else ""))


@given(entities(st.none() | TEXT) | st.tuples(st.tuples(st.just(IP), st.none() | TEXT)))
def test_a_key_names_its_entity(entity: QuotaEntity) -> None:
    keys = Keys("/p/")
    kind, rest = keys.parts(keys.quota(entity))
    assert kind == "quotas"
    assert quota_entity(rest) == entity


VALUES = st.none() | st.floats(1, 1000).map(round).map(float)
CHANGES = st.dictionaries(st.sampled_from([PRODUCE.key, FETCH.key, MUTATION.key]), VALUES)


@given(st.lists(st.tuples(entities(), CHANGES), max_size=8), entities())
def test_what_was_altered_is_what_is_described(
    altered: list[tuple[QuotaEntity, dict[str, float | None]]], asked: QuotaEntity
) -> None:
    model: dict[QuotaEntity, dict[str, float]] = {}
    quotas: dict[QuotaEntity, QuotaState] = {}
    for entity, changes in altered:
        values = {**model.pop(entity, {}), **changes}
        if kept := {key: value for key, value in values.items() if value is not None}:
            model[entity] = kept
        one = Alteration(entity=as_asked(entity), changes=tuple(changes.items()))
        after, answers = alter(quotas, [one])
        assert answers == {as_asked(entity): None}
        for changed, left in after.items():
            quotas.pop(changed) if not left else quotas.update({changed: QuotaState(values=left)})
    assert {e: dict(s.values) for e, s in quotas.items()} == model

    def filtered(match_type: int | None, strict: bool) -> dict[QuotaEntity, object]:
        components = [
            Component(
                kind=kind,
                match_type=match_type or (DEFAULT if name is None else EXACT),
                match=None if match_type else name,
            )
            for kind, name in asked
        ]
        found = select(quotas, components, strict=strict)
        assert isinstance(found, list)
        return {entity: dict(values) for entity, values in found}

    assert filtered(None, True) == {e: v for e, v in model.items() if e == asked}
    assert filtered(None, False) == {e: v for e, v in model.items() if set(asked) <= set(e)}
    kinds = {kind for kind, _ in asked}
    assert filtered(SPECIFIED, False) == {e: v for e, v in model.items() if kinds <= set(dict(e))}
