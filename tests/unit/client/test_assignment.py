"""Assignors give every partition to exactly one subscriber, evenly."""

from headrace.client.assignment import ASSIGNORS, assign_range, assign_round_robin
from hypothesis import given
from hypothesis import strategies as st

MEMBERS = st.dictionaries(
    st.sampled_from("abcde"), st.sets(st.sampled_from("xyz")), min_size=1, max_size=5
)
COUNTS = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 7))


@given(st.sampled_from(sorted(ASSIGNORS)), MEMBERS, COUNTS)
def test_each_partition_of_a_subscribed_topic_has_one_owner(
    name: str, subscriptions: dict[str, set[str]], counts: dict[str, int]
) -> None:
    plan = ASSIGNORS[name](subscriptions, counts)
    given_out = [
        (topic, index, member)
        for member, topics in plan.items()
        for topic, indexes in topics.items()
        for index in indexes
    ]
    assert all(topic in subscriptions[member] for topic, _, member in given_out)
    wanted = {topic for topics in subscriptions.values() for topic in topics}
    assert sorted((topic, index) for topic, index, _ in given_out) == sorted(
        (topic, index) for topic in wanted & set(counts) for index in range(counts[topic])
    )


def test_range_gives_the_first_members_one_more() -> None:
    plan = assign_range({"b": ["t"], "a": ["t"], "c": ["u"]}, {"t": 3, "u": 1})
    assert plan == {"a": {"t": (0, 1)}, "b": {"t": (2,)}, "c": {"u": (0,)}}


def test_round_robin_deals_across_topics() -> None:
    plan = assign_round_robin({"a": ["t", "u"], "b": ["t", "u"]}, {"t": 3, "u": 3})
    assert plan == {"a": {"t": (0, 2), "u": (1,)}, "b": {"t": (1,), "u": (0, 2)}}
