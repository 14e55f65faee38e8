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


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.integers(0, 2)), max_size=20),
    st.integers(0, 20),
)
def test_what_changed_since_an_older_version(steps: list[Step], since: int) -> None:
    versions: list[PersistentMap[str, list[int]]] = [PersistentMap()]
    for key, value in steps:
        now = versions[-1]
        versions.append(now.remove(key) if value is None else now.set(key, [value]))
    old, new = versions[min(since, len(steps))], versions[-1]
    wanted = {key for key in {*old, *new} if old.get(key) is not new.get(key)}
    changed = list(new.changed_since(old))
    assert set(changed) == wanted and len(changed) == len(wanted)
