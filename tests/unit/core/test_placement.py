"""Laws of replica placement."""

from collections import Counter
from uuid import UUID

from headrace.base.errors import Code, Refusal
from headrace.base.image import BrokerState
from headrace.core.placement import place
from hypothesis import given, settings
from hypothesis import strategies as st


def broker(broker_id: int, rack: str | None = None, draining: bool = False) -> BrokerState:
    return BrokerState(
        broker_id=broker_id,
        epoch=1,
        incarnation=UUID(int=broker_id),
        endpoints=(),
        rack=rack,
        draining=draining,
    )


@settings(max_examples=150)
@given(
    racks=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9),
    factor=st.integers(1, 5),
    partitions=st.integers(1, 40),
)
def test_replicas_are_distinct_spread_and_even(
    racks: list[str | None], factor: int, partitions: int
) -> None:
    brokers = [broker(n, rack) for n, rack in enumerate(racks)]
    placed = place(brokers, partitions=partitions, replication_factor=factor)
    if factor > len(brokers):
        assert isinstance(placed, Refusal)
        assert placed.code is Code.INVALID_REPLICATION_FACTOR
        return
    assert not isinstance(placed, Refusal)
    assert len(placed) == partitions
    leaders = Counter(replicas[0] for replicas in placed)
    assert max(leaders.values()) - min(leaders.get(n, 0) for n in range(len(racks))) <= 1
    for replicas in placed:
        assert len(replicas) == len(set(replicas)) == factor
        if None not in racks:
            held = {racks[broker_id] for broker_id in replicas}
            assert len(held) == min(factor, len(set(racks)))


def test_followers_differ_between_turns_of_the_list() -> None:
    """Else one neighbour would take the whole load of a dead broker."""
    brokers = [broker(n) for n in range(4)]
    placed = place(brokers, partitions=12, replication_factor=2)
    assert not isinstance(placed, Refusal)
    assert {follower for leader, follower in placed if leader == 0} == {1, 2, 3}


def test_a_draining_broker_takes_nothing() -> None:
    brokers = [broker(1), broker(2, draining=True)]
    assert place(brokers, partitions=3, replication_factor=1) == ((1,), (1,), (1,))
    assert isinstance(place(brokers, partitions=1, replication_factor=2), Refusal)
