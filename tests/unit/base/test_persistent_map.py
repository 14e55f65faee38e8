"""The persistent map against a dict, and that old versions never change."""

from headrace.base.persistent_map import PersistentMap
from hypothesis import given, settings
from hypothesis import strategies as st

Step = tuple[str, int | None]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.text(max_size=2), st.none() | st.integers()), max_size=40))
def test_it_behaves_like_a_dict_and_keeps_every_version(steps: list[Step]) -> None:
    model: dict[str, int] = {}
    versions: list[tuple[PersistentMap[str, int], dict[str, int]]] = []
    current: PersistentMap[str, int] = PersistentMap()
    for key, value in steps:
        versions.append((current, dict(model)))
        if value is None:
            model.pop(key, None)
            current = current.remove(key)
        else:
            model[key] = value
            current = current.set(key, value)
    for persistent, expected in [*versions, (current, model)]:
        assert dict(persistent) == expected
        assert len(persistent) == len(expected)
        assert all(persistent.get(key) == value for key, value in expected.items())


def test_removing_what_is_absent_gives_the_same_map() -> None:
    one = PersistentMap[str, int]().set("a", 1)
    assert one.remove("b") is one


def test_a_change_copies_little() -> None:
    """256 buckets are shared but for the one that changes."""
    big = PersistentMap[int, int]()
    for number in range(2000):
        big = big.set(number, number)
    changed = big.set(5, 0)
    shared = sum(a is b for a, b in zip(big._buckets, changed._buckets, strict=True))
    assert shared == len(big._buckets) - 1
