"""Laws of a Quota's plan, over everything that can be observed."""

from dataclasses import replace

from headrace_operator.plan.quota import (
    AlterQuota,
    HoldQuota,
    ObservedQuota,
    ReleaseQuota,
    applied,
    needs_cluster,
    plan_quota,
    settled,
)
from headrace_operator.plan.verdict import State
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.test_plan_topic import standings

LIMITS = st.dictionaries(
    st.sampled_from(["producer_byte_rate", "consumer_byte_rate", "request_percentage"]),
    st.sampled_from([1.0, 1024.0, 50.5]),
    max_size=3,
)


@st.composite
def observations(draw: st.DrawFn) -> ObservedQuota:
    observed = ObservedQuota(
        standing=draw(standings()),
        entity=(("client-id", None), ("user", "alice")),
        limits=draw(LIMITS),
        deleting=draw(st.booleans()),
        finalizer=draw(st.booleans()),
        managed=frozenset(draw(LIMITS)),
    )
    return replace(observed, live=draw(LIMITS) if needs_cluster(observed) else {})


@given(observations())
def test_after_its_actions_a_plan_is_empty(observed: ObservedQuota) -> None:
    plan = plan_quota(observed)
    after = observed
    for action in plan.actions:
        after = applied(after, action)
    assert plan_quota(after).actions == ()
    assert observed.deleting or plan_quota(settled(after)).actions == ()


@given(observations())
def test_limits_are_set_only_under_the_finalizer(observed: ObservedQuota) -> None:
    held = observed.finalizer
    for action in plan_quota(observed).actions:
        held = held or isinstance(action, HoldQuota)
        assert held or not isinstance(action, AlterQuota)


@given(observations())
def test_a_deleted_quota_leaves_none_of_its_limits(observed: ObservedQuota) -> None:
    if not (observed.deleting and observed.finalizer):
        return
    after = observed
    actions = plan_quota(observed).actions
    for action in actions:
        after = applied(after, action)
    assert isinstance(actions[-1], ReleaseQuota)
    if observed.standing.reachable:
        assert not after.live.keys() & {*observed.managed, *observed.limits}
    else:
        assert actions == (ReleaseQuota(),)


@given(observations())
def test_limits_of_others_stay(observed: ObservedQuota) -> None:
    after = observed
    for action in plan_quota(observed).actions:
        after = applied(after, action)
    ours = {*observed.limits, *observed.managed}
    assert {k: v for k, v in after.live.items() if k not in ours} == {
        k: v for k, v in observed.live.items() if k not in ours
    }


@given(observations())
def test_who_may_not_touch_the_cluster_changes_nothing_in_it(observed: ObservedQuota) -> None:
    if observed.standing.reachable:
        return
    plan = plan_quota(observed)
    assert all(isinstance(a, ReleaseQuota) for a in plan.actions)
    assert observed.deleting or plan.verdict.state is State.STALLED
