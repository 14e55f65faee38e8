"""Laws of placement: a topic, many topics, racks, and brokers that come later."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from headrace.base.errors import Refusal
from headrace.base.image import BrokerState
from headrace.core.placement import place
from hypothesis import given, settings
from hypothesis import strategies as st

RACKS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=9)
TOPICS = st.lists(st.integers(1, 25), min_size=1, max_size=12)


def brokers(racks: Sequence[str | None]) -> list[BrokerState]:
    return [
        BrokerState(broker_id=n, epoch=1, incarnation=UUID(int=n), endpoints=(), rack=rack)
        for n, rack in enumerate(racks)
    ]


def leaders(
    alive: list[BrokerState], partitions: int, held: Counter[int], led: Counter[int] | None = None
) -> Counter[int]:
    """How many of a new topic's (or of new) partitions each broker leads; `held` is told."""
    placed = place(
        alive, partitions=partitions, replication_factor=1, held=held, led=led or Counter()
    )
    assert not isinstance(placed, Refusal)
    found = Counter(replicas[0] for replicas in placed)
    held.update(found)
    return found


def difference(counts: Counter[int], of: range) -> int:
    return max(counts[n] for n in of) - min(counts[n] for n in of)


@settings(max_examples=200)
@given(
    racks=RACKS | st.lists(st.none(), min_size=1, max_size=9),
    before=st.lists(st.integers(0, 50), min_size=9, max_size=9),
    partitions=st.integers(1, 40),
    more=st.integers(1, 40),
)
def test_a_topic_is_even_over_brokers_whatever_they_held(
    racks: list[str | None], before: list[int], partitions: int, more: int
) -> None:
    """Also after it got more partitions."""
    alive, everyone = brokers(racks), range(len(racks))
    held = Counter(dict(enumerate(before[: len(racks)])))
    of_topic = leaders(alive, partitions, held)
    assert difference(of_topic, everyone) <= 1
    of_topic += leaders(alive, more, held, of_topic)
    assert of_topic.total() == partitions + more
    assert difference(of_topic, everyone) <= 1


@settings(max_examples=200)
@given(racks=RACKS, topics=TOPICS)
def test_topics_of_any_size_are_even_over_brokers(racks: list[str], topics: list[int]) -> None:
    alive, held = brokers(racks), Counter[int]()
    for partitions in topics:
        leaders(alive, partitions, held)
        assert difference(held, range(len(racks))) <= 1


@settings(max_examples=200)
@given(rack_count=st.integers(1, 4), each=st.integers(1, 3), topics=TOPICS)
def test_racks_of_one_size_lead_evenly(rack_count: int, each: int, topics: list[int]) -> None:
    """Each topic, and all of them together."""
    racks = [f"r{n % rack_count}" for n in range(rack_count * each)]
    alive, held = brokers(racks), Counter[int]()
    for partitions in topics:
        found = leaders(alive, partitions, held)
        for counts in (found, held):
            by_rack = Counter[int]()
            for broker_id, count in counts.items():
                by_rack[broker_id % rack_count] += count
            assert difference(by_rack, range(rack_count)) <= 1


@settings(max_examples=100)
@given(racks=RACKS, topics=TOPICS, new_rack=st.sampled_from(["a", "b", "z"]))
def test_small_topics_land_on_a_new_broker_until_it_has_its_share(
    racks: list[str], topics: list[int], new_rack: str
) -> None:
    held = Counter[int]()
    for partitions in topics:
        leaders(brokers(racks), partitions, held)
    alive, new = brokers([*racks, new_rack]), len(racks)
    while held[new] < min(held[n] for n in range(len(racks))):
        assert leaders(alive, 1, held) == Counter([new])
    for _ in range(3 * len(alive)):
        leaders(alive, 1, held)
    assert difference(held, range(len(alive))) <= 1


def test_racks_of_different_size_lead_by_their_size() -> None:
    held = Counter[int]()
    leaders(brokers(["a", "a", "a", "b"]), 40, held)
    assert [held[n] for n in range(4)] == [10, 10, 10, 10]
    two = leaders(brokers(["a", "a", "a", "b"]), 2, held)
    assert two[3] == 1, "the rack with the fewest brokers is not left out"
