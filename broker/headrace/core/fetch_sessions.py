"""Incremental fetch sessions: a fetcher names its partitions once, then only what changed.

A Fetch is handled in three steps, all synchronous and cheap:

    fetch = sessions.begin(...)             # a Fetch, or the Code of a top-level error
    for key, request in fetch.wanted: ...   # read; may be repeated while waiting for min_bytes
    code, session_id = sessions.answer(fetch, now_ms)
    included = fetch.tell(key, ...)         # for each partition that was read

What a request asks of a partition is opaque here (`R`), and so is how topics are named: by name
below Fetch v13, by id from then on. Session ids are handed in, so that simulations repeat.
Source: KIP-227, KIP-516; Kafka's FetchSession, FetchSessionCacheShard, FetchManager.

Invariants: at most `slots` sessions and about `partitions_max` partitions are remembered.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, Generic, TypeVar

from headrace.base.errors import Code
from headrace.base.invariant import invariant
from headrace.base.units import INT32_MAX, MINUTE_MS

NO_SESSION: Final = 0
INITIAL_EPOCH: Final = 0
"""Asks for a new session; the one that is named with it is closed."""
FINAL_EPOCH: Final = -1
"""Asks for no session, as every Fetch below v7 does; the one that is named is closed."""

SLOTS: Final = 1000
EVICTION_MS: Final = 2 * MINUTE_MS
PARTITIONS_MAX: Final = 1_000_000
"""About 250 MB at worst. Kafka bounds the sessions alone."""

R = TypeVar("R")
Key = tuple[Hashable, int]
"""A topic's name or id, and the partition's index."""

_UNTOLD: Final = (-1, -1)


class _Session(Generic[R]):
    """Mutable: it is touched by every Fetch of its client."""

    __slots__ = (
        "created_ms",
        "epoch",
        "privileged",
        "requests",
        "session_id",
        "told",
        "used_ms",
        "uses_topic_ids",
    )

    def __init__(
        self, session_id: int, fetch: "Fetch[R]", requests: dict[Key, R], now_ms: int
    ) -> None:
        self.session_id = session_id
        self.privileged = fetch.privileged
        self.uses_topic_ids = fetch.uses_topic_ids
        self.epoch = 1
        self.created_ms = now_ms
        self.used_ms = now_ms
        self.requests = requests
        # What the fetcher was last told of a partition: (high watermark, log start offset).
        self.told: dict[Key, tuple[int, int]] = {}


class Fetch(Generic[R]):
    """One Fetch request between its begin and its answer. Fields are for reading."""

    __slots__ = ("creates", "epoch", "privileged", "session", "uses_topic_ids", "wanted")

    def __init__(
        self,
        wanted: list[tuple[Key, R]],
        uses_topic_ids: bool,
        privileged: bool,
        creates: bool,
        session: _Session[R] | None,
        epoch: int,
    ) -> None:
        self.wanted = wanted
        self.uses_topic_ids = uses_topic_ids
        self.privileged = privileged
        self.creates = creates
        self.session = session
        self.epoch = epoch

    def tell(
        self,
        key: Key,
        high_watermark: int,
        log_start_offset: int,
        error: int,
        records_bytes: int,
        forced: bool = False,
    ) -> bool:
        """Whether this partition's answer belongs into the response; HOT.

        It does where the fetcher does not know it yet: records, an error, another high watermark
        or log start offset, or `forced` (a preferred replica, a diverging epoch). Call it once a
        partition, after `answer`.
        """
        session = self.session
        if session is None:
            return True
        requests = session.requests
        if key not in requests:
            return False
        seen = (high_watermark, log_start_offset)
        if error:
            # Whatever comes after the error is news.
            session.told[key] = (-1, log_start_offset)
            return True
        changed = session.told.get(key, _UNTOLD) != seen
        if changed:
            session.told[key] = seen
        if records_bytes > 0:
            if not self.creates and len(requests) > 1:
                # Who was served goes to the end, so that a small max_bytes starves nobody.
                requests[key] = requests.pop(key)
            return True
        return changed or forced or self.creates


class FetchSessions(Generic[R]):
    """All sessions of one broker. `new_id` gives session ids from 1 to 2^31-1."""

    __slots__ = (
        "_eviction_ms",
        "_new_id",
        "_partitions_max",
        "_sessions",
        "_slots",
        "evictions",
        "partitions",
    )

    def __init__(
        self,
        new_id: Callable[[], int],
        *,
        slots: int = SLOTS,
        eviction_ms: int = EVICTION_MS,
        partitions_max: int = PARTITIONS_MAX,
    ) -> None:
        self._new_id = new_id
        self._slots = slots
        self._eviction_ms = eviction_ms
        self._partitions_max = partitions_max
        self._sessions: dict[int, _Session[R]] = {}  # the least recently used first
        self.partitions = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(
        self,
        session_id: int,
        epoch: int,
        requests: Mapping[Key, R],
        forgotten: Iterable[Key],
        *,
        uses_topic_ids: bool,
        privileged: bool,
        now_ms: int,
    ) -> Fetch[R] | Code:
        """What is to be fetched; HOT.

        `privileged` is a follower. The codes are top-level errors of the response:
        FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
        """
        if epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            if session_id != NO_SESSION:
                self._remove(session_id)
            creates = epoch == INITIAL_EPOCH
            wanted = list(requests.items())
            return Fetch(wanted, uses_topic_ids, privileged, creates, None, epoch)
        session = self._sessions.get(session_id)
        if session is None:
            return Code.FETCH_SESSION_ID_NOT_FOUND
        if session.epoch != epoch:
            return Code.INVALID_FETCH_SESSION_EPOCH
        if session.uses_topic_ids is not uses_topic_ids:
            return Code.FETCH_SESSION_TOPIC_ID_ERROR
        if requests or forgotten:
            self._update(session, requests, forgotten)
        if not session.requests or self.partitions > self._partitions_max:
            self._remove(session_id)
            if session.requests:
                return Code.FETCH_SESSION_ID_NOT_FOUND
            wanted = list(requests.items())
            return Fetch(wanted, uses_topic_ids, privileged, False, None, FINAL_EPOCH)
        self._sessions[session_id] = self._sessions.pop(session_id)
        session.used_ms = now_ms
        session.epoch = epoch = epoch + 1 if epoch < INT32_MAX else 1
        wanted = list(session.requests.items())
        return Fetch(wanted, uses_topic_ids, privileged, False, session, epoch)

    def answer(self, fetch: Fetch[R], now_ms: int) -> tuple[Code, int]:
        """The response's error code and session id; before the partitions are told; HOT.

        A full fetch gets its session here where there is room. INVALID_FETCH_SESSION_EPOCH where
        another request of the session has overtaken this one: then no partition is answered.
        """
        session = fetch.session
        if session is not None:
            if session.epoch != fetch.epoch:
                return Code.INVALID_FETCH_SESSION_EPOCH, session.session_id
            return Code.NONE, session.session_id
        if not fetch.creates:
            return Code.NONE, NO_SESSION
        size = len(fetch.wanted)
        if self.partitions + size > self._partitions_max:
            return Code.NONE, NO_SESSION
        if len(self._sessions) >= self._slots and not self._evict(fetch.privileged, size, now_ms):
            return Code.NONE, NO_SESSION
        session_id = self._free_id()
        fetch.session = session = _Session(session_id, fetch, dict(fetch.wanted), now_ms)
        self._sessions[session_id] = session
        self.partitions += size
        return Code.NONE, session_id

    def check(self) -> None:
        """Raise Bug unless the invariants hold; for tests and the simulator."""
        sizes = [len(session.requests) for session in self._sessions.values()]
        invariant(sum(sizes) == self.partitions, "partitions are miscounted", sizes=sizes)
        invariant(len(sizes) <= max(self._slots, 0), "more sessions than slots")
        used = [session.used_ms for session in self._sessions.values()]
        invariant(used == sorted(used), "sessions out of order of use")
        for session in self._sessions.values():
            invariant(session.told.keys() <= session.requests.keys(), "told of a forgotten one")

    def _update(
        self, session: _Session[R], requests: Mapping[Key, R], forgotten: Iterable[Key]
    ) -> None:
        before = len(session.requests)
        session.requests.update(requests)
        for key in forgotten:
            if session.requests.pop(key, None) is not None:
                session.told.pop(key, None)
        self.partitions += len(session.requests) - before

    def _remove(self, session_id: int) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self.partitions -= len(session.requests)

    def _evict(self, privileged: bool, size: int, now_ms: int) -> bool:
        """Make room for a session of `size` partitions; False where all others are worth more.

        Goes: the least recently used if it is stale; else the smallest that a follower may push
        out (any consumer's) or anyone may (older than the eviction time), if it is smaller.
        """
        oldest = next(iter(self._sessions.values()), None)
        if oldest is None:
            return False
        victim = oldest
        if now_ms - oldest.used_ms <= self._eviction_ms:
            evictable = [
                (session.privileged, len(session.requests), session.session_id)
                for session in self._sessions.values()
                if session.used_ms - session.created_ms > self._eviction_ms
                or (privileged and not session.privileged)
            ]
            if not evictable or (privileged, size, 0) < min(evictable):
                return False
            victim = self._sessions[min(evictable)[2]]
        self._remove(victim.session_id)
        self.evictions += 1
        return True

    def _free_id(self) -> int:
        while True:
            session_id = self._new_id()
            if session_id != NO_SESSION and session_id not in self._sessions:
                return session_id
