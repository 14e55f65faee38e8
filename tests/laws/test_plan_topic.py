"""Laws of a Topic's plan, over everything that can be observed."""

from dataclasses import replace
from uuid import UUID

from headrace_operator.plan.standing import Claimant, ClusterState, Standing, holder_of
from headrace_operator.plan.topic import (
    AddFinalizer,
    CreateTopic,
    DeleteTopic,
    LiveTopic,
    ObservedTopic,
    ReleaseFinalizer,
    applied,
    needs_cluster,
    plan_topic,
    settled,
)
from headrace_operator.plan.verdict import State
from hypothesis import given
from hypothesis import strategies as st

IDS = (UUID(int=1), UUID(int=2))
CONFIG = st.dictionaries(
    st.sampled_from(["retention.ms", "cleanup.policy", "preallocate", "of.a.newer.broker"]),
    st.sampled_from(["1000", "compact", "TRUE", "true", "delete,compact", "nonsense"]),
    max_size=3,
)
CLAIMANTS = st.builds(
    Claimant,
    created=st.sampled_from(["2026-11-24T00:00:00Z", "2026-11-24T00:00:01Z"]),
    uid=st.sampled_from(["a", "b", "c"]),
    namespace=st.sampled_from(["kafka", "team"]),
    name=st.sampled_from(["orders", "orders-2"]),
)


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    me, others = draw(CLAIMANTS), draw(st.lists(CLAIMANTS, max_size=2))
    return Standing(
        cluster=draw(st.sampled_from(ClusterState)),
        cluster_name="kafka/prod",
        permitted=draw(st.booleans()),
        me=me,
        holder=holder_of([me, *others]),
    )


LIVE = st.builds(
    LiveTopic,
    topic_id=st.sampled_from(IDS),
    partitions=st.integers(1, 4),
    internal=st.sampled_from([False, False, False, True]),
    settings=CONFIG,
)


@st.composite
def observations(draw: st.DrawFn) -> ObservedTopic:
    observed = ObservedTopic(
        standing=draw(standings()),
        name="orders",
        partitions=draw(st.integers(1, 4)),
        config=draw(CONFIG),
        adoption=draw(st.sampled_from(["IfCompatible", "Never"])),
        drift_policy=draw(st.sampled_from(["Correct", "Report"])),
        deletion_policy=draw(st.sampled_from(["Retain", "Delete"])),
        deleting=draw(st.booleans()),
        finalizer=draw(st.booleans()),
        known_id=draw(st.none() | st.sampled_from(IDS)),
        claimed=draw(st.booleans()),
        managed=frozenset(draw(CONFIG)),
        settled=draw(st.booleans()),
    )
    # The brokers are asked only where the plan needs to know.
    live = draw(st.none() | LIVE) if needs_cluster(observed) else None
    return replace(observed, live=live)


@given(observations())
def test_after_its_actions_a_plan_is_empty(observed: ObservedTopic) -> None:
    plan = plan_topic(observed)
    after = observed
    for action in plan.actions:
        after = applied(after, action)
    assert plan_topic(after).actions == ()
    if plan.verdict.state is State.READY and not observed.deleting:
        assert plan_topic(settled(after, plan)).actions == ()
        assert plan_topic(settled(after, plan)).verdict.state is State.READY


@given(observations())
def test_at_most_one_destructive_action_and_only_on_what_is_ours(observed: ObservedTopic) -> None:
    deletions = [a for a in plan_topic(observed).actions if isinstance(a, DeleteTopic)]
    assert len(deletions) <= 1
    for deletion in deletions:
        assert observed.deleting
        assert observed.deletion_policy == "Delete"
        assert observed.finalizer
        assert deletion.topic_id == observed.known_id
        assert observed.live is not None and deletion.topic_id == observed.live.topic_id
        assert observed.standing.reachable


@given(observations())
def test_who_may_not_touch_the_cluster_changes_nothing_in_it(observed: ObservedTopic) -> None:
    if observed.standing.reachable:
        return
    plan = plan_topic(observed)
    assert all(isinstance(a, ReleaseFinalizer) for a in plan.actions)
    assert observed.deleting or plan.verdict.state is State.STALLED


@given(observations())
def test_a_resource_being_deleted_is_let_go_in_one_pass(observed: ObservedTopic) -> None:
    if observed.deleting and observed.finalizer:
        assert isinstance(plan_topic(observed).actions[-1], ReleaseFinalizer)


@given(observations())
def test_the_finalizer_is_there_before_the_topic_and_only_with_delete(
    observed: ObservedTopic,
) -> None:
    actions = plan_topic(observed).actions
    if any(isinstance(a, AddFinalizer) for a in actions):
        assert observed.deletion_policy == "Delete"
        assert isinstance(actions[0], AddFinalizer)
    created = any(isinstance(a, CreateTopic) for a in actions)
    if created and observed.deletion_policy == "Delete" and not observed.finalizer:
        assert isinstance(actions[0], AddFinalizer)


@given(observations())
def test_what_is_reported_is_not_corrected(observed: ObservedTopic) -> None:
    plan = plan_topic(observed)
    if plan.drift is not None:
        assert observed.drift_policy == "Report"
        assert all(isinstance(a, AddFinalizer | ReleaseFinalizer) for a in plan.actions)


@given(observations())
def test_only_listed_settings_and_those_once_listed_are_touched(observed: ObservedTopic) -> None:
    live = observed.live
    if live is None:
        return
    after = observed
    for action in plan_topic(observed).actions:
        after = applied(after, action)
    ours = {*observed.config, *observed.managed}
    if after.live is not None:
        assert {k: v for k, v in after.live.settings.items() if k not in ours} == {
            k: v for k, v in live.settings.items() if k not in ours
        }


@given(observations())
def test_every_verdict_is_a_sentence_that_names_something(observed: ObservedTopic) -> None:
    verdict = plan_topic(observed).verdict
    assert verdict.message.endswith(".") and " " in verdict.message
    assert verdict.reason.isidentifier() and verdict.reason[0].isupper()
