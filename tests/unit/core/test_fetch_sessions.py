"""Fetch sessions: each rule of KIP-227, and that a client which trusts them is never wrong."""

from itertools import count

import pytest
from headrace.base.errors import Code
from headrace.core.fetch_sessions import FINAL_EPOCH, Fetch, FetchSessions, Key
from hypothesis import given, settings
from hypothesis import strategies as st

A, B, C = ("a", 0), ("a", 1), ("c", 0)
EVICTION_MS = 100


def sessions(slots: int = 2, partitions_max: int = 1000) -> FetchSessions[str]:
    ids = count(1)
    return FetchSessions(
        lambda: next(ids), slots=slots, eviction_ms=EVICTION_MS, partitions_max=partitions_max
    )


def begin(
    cache: FetchSessions[str],
    session_id: int,
    epoch: int,
    keys: list[Key],
    forgotten: list[Key] | None = None,
    *,
    ids: bool = False,
    follower: bool = False,
    now_ms: int = 0,
) -> Fetch[str] | Code:
    return cache.begin(
        session_id,
        epoch,
        {key: f"read {key}" for key in keys},
        forgotten or [],
        uses_topic_ids=ids,
        privileged=follower,
        now_ms=now_ms,
    )


def created(cache: FetchSessions[str], keys: list[Key], *, now_ms: int = 0, **kind: bool) -> int:
    """A full fetch of `keys`; returns the session's id."""
    fetch = begin(cache, 0, 0, keys, now_ms=now_ms, **kind)
    assert isinstance(fetch, Fetch)
    code, session_id = cache.answer(fetch, now_ms)
    assert code is Code.NONE
    for key in keys:
        assert fetch.tell(key, 10, 0, 0, 0)
    cache.check()
    return session_id


def incremental(cache: FetchSessions[str], session_id: int, epoch: int, *args, **kw) -> Fetch[str]:
    fetch = begin(cache, session_id, epoch, *args, **kw)
    assert isinstance(fetch, Fetch), fetch
    assert cache.answer(fetch, 0) == (Code.NONE, session_id)
    return fetch


def test_nothing_new_is_an_empty_answer_and_each_change_is_told_once() -> None:
    cache = sessions()
    session_id = created(cache, [A, B])
    fetch = incremental(cache, session_id, 1, [])
    assert [key for key, _ in fetch.wanted] == [A, B]
    assert not fetch.tell(A, 10, 0, 0, 0)
    assert not fetch.tell(B, 10, 0, 0, 0)
    fetch = incremental(cache, session_id, 2, [])
    assert fetch.tell(A, 11, 0, 0, 0), "high watermark"
    assert fetch.tell(B, 10, 3, 0, 0), "log start offset"
    fetch = incremental(cache, session_id, 3, [])
    assert not fetch.tell(A, 11, 0, 0, 0)
    assert fetch.tell(B, 10, 3, 0, 0, True), "preferred replica or diverging epoch"


def test_an_error_is_always_told_and_so_is_its_end() -> None:
    cache = sessions()
    session_id = created(cache, [A])
    for epoch in (1, 2):
        fetch = incremental(cache, session_id, epoch, [])
        assert fetch.tell(A, -1, -1, Code.NOT_LEADER_OR_FOLLOWER, 0)
    assert incremental(cache, session_id, 3, []).tell(A, 10, 0, 0, 0)
    assert not incremental(cache, session_id, 4, []).tell(A, 10, 0, 0, 0)


def test_partitions_are_added_updated_and_forgotten() -> None:
    cache = sessions()
    session_id = created(cache, [A, B])
    fetch = incremental(cache, session_id, 1, [C], [A])
    assert [key for key, _ in fetch.wanted] == [B, C]
    assert cache.partitions == 2
    assert fetch.tell(C, 5, 0, 0, 0), "a new one is always told"
    assert not fetch.tell(A, 99, 0, 0, 5), "a forgotten one never"
    cache.check()
    fetch = incremental(cache, session_id, 2, [A])
    assert fetch.tell(A, 10, 0, 0, 0), "forgotten and added again is new"
    # A partition both named and forgotten is forgotten: Kafka forgets last.
    assert [k for k, _ in incremental(cache, session_id, 3, [C], [C]).wanted] == [B, A]


def test_who_got_records_moves_to_the_end() -> None:
    cache = sessions()
    session_id = created(cache, [A, B, C])
    fetch = incremental(cache, session_id, 1, [])
    assert fetch.tell(A, 20, 0, 0, 100)
    fetch = incremental(cache, session_id, 2, [A])
    assert [key for key, _ in fetch.wanted] == [B, C, A]


def test_wrong_epochs_ids_and_kinds_of_topics() -> None:
    cache = sessions()
    session_id = created(cache, [A])
    assert begin(cache, session_id + 1, 1, []) is Code.FETCH_SESSION_ID_NOT_FOUND
    assert begin(cache, session_id, 2, []) is Code.INVALID_FETCH_SESSION_EPOCH
    assert begin(cache, session_id, 1, [], ids=True) is Code.FETCH_SESSION_TOPIC_ID_ERROR
    incremental(cache, session_id, 1, [])


def test_a_request_that_was_overtaken_is_told_so() -> None:
    cache = sessions()
    session_id = created(cache, [A])
    slow = begin(cache, session_id, 1, [])
    assert isinstance(slow, Fetch)
    incremental(cache, session_id, 2, [])
    assert cache.answer(slow, 0) == (Code.INVALID_FETCH_SESSION_EPOCH, session_id)


def test_epochs_wrap_to_one() -> None:
    cache = sessions()
    session_id = created(cache, [A])
    fetch = incremental(cache, session_id, 1, [])
    assert fetch.session is not None
    fetch.session.epoch = 2**31 - 1
    incremental(cache, session_id, 2**31 - 1, [])
    incremental(cache, session_id, 1, [])


@pytest.mark.parametrize("epoch", [0, FINAL_EPOCH])
def test_a_full_request_closes_the_session_it_names(epoch: int) -> None:
    cache = sessions()
    session_id = created(cache, [A])
    fetch = begin(cache, session_id, epoch, [A])
    assert isinstance(fetch, Fetch)
    assert len(cache) == cache.partitions == 0
    code, new_id = cache.answer(fetch, 0)
    assert code is Code.NONE
    assert (new_id == 0) == (epoch == FINAL_EPOCH)
    assert fetch.tell(A, 1, 0, 0, 0)


def test_forgetting_all_closes_the_session() -> None:
    cache = sessions()
    session_id = created(cache, [A])
    fetch = begin(cache, session_id, 1, [], [A])
    assert isinstance(fetch, Fetch)
    assert cache.answer(fetch, 0) == (Code.NONE, 0)
    assert len(cache) == 0


def test_a_stale_session_makes_room_and_a_fresh_one_does_not() -> None:
    cache = sessions(slots=1)
    first = created(cache, [A])
    assert created(cache, [A, B], now_ms=EVICTION_MS) == 0
    assert created(cache, [A], now_ms=EVICTION_MS + 1) not in (0, first)
    assert cache.evictions == 1


def test_a_larger_session_pushes_out_an_old_smaller_one() -> None:
    cache = sessions(slots=1)
    old = created(cache, [A])
    incremental(cache, old, 1, [], now_ms=EVICTION_MS + 1)
    assert created(cache, [A], now_ms=EVICTION_MS + 2) == 0, "not the same size"
    assert created(cache, [A, B], now_ms=EVICTION_MS + 2) != 0


def test_a_follower_pushes_out_any_consumer_and_never_the_reverse() -> None:
    cache = sessions(slots=1)
    created(cache, [A, B, C])
    follower = created(cache, [A], follower=True)
    assert follower != 0
    incremental(cache, follower, 1, [], now_ms=EVICTION_MS + 1, follower=True)
    assert created(cache, [A, B], now_ms=EVICTION_MS + 2) == 0
    assert created(cache, [A, B], now_ms=EVICTION_MS + 2, follower=True) != 0


def test_no_slots_means_no_sessions() -> None:
    assert created(sessions(slots=0), [A]) == 0


def test_partitions_are_bounded() -> None:
    cache = sessions(partitions_max=3)
    session_id = created(cache, [A, B])
    assert created(cache, [A, B]) == 0
    more: list[Key] = [("more", n) for n in range(2)]
    assert begin(cache, session_id, 1, more) is Code.FETCH_SESSION_ID_NOT_FOUND
    assert len(cache) == cache.partitions == 0


changes = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from([A, B, C]), st.tuples(st.integers(0, 3), st.integers(0, 1))
        ),
        st.sampled_from([None, A, B, C]),
        st.sampled_from([None, A, B, C]),
        st.sampled_from([None, A, B, C]),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(changes)
def test_a_client_that_trusts_its_session_knows_the_truth(script) -> None:
    cache = sessions()
    truth: dict[Key, tuple[int, int]] = {A: (10, 0), B: (10, 0), C: (10, 0)}
    session_id = created(cache, [A, B])
    view = {A: truth[A], B: truth[B]}
    for epoch, (moved, add, forget, failing) in enumerate(script, start=1):
        truth |= moved
        named = [add] if add else []
        gone = [forget] if forget and forget != add and len(view) > 1 else []
        for key in gone:
            view.pop(key, None)
        fetch = incremental(cache, session_id, epoch, named, gone)
        assert {key for key, _ in fetch.wanted} == {*view, *named}
        for key, _ in fetch.wanted:
            now = (-1, -1) if key == failing else truth[key]
            if fetch.tell(key, *now, 1 if key == failing else 0, 0):
                view[key] = now
        assert view == {key: (-1, -1) if key == failing else truth[key] for key, _ in fetch.wanted}
        cache.check()
        # An empty session closes; keep one partition.
        assert view
