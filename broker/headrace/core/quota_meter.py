"""How much each limited client has used, and how long it has to wait.

A `Meter` is one client's bucket and what is told about it; `Meters` are those of one kind of
quota. Times are handed in, in milliseconds of a monotonic clock.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from headrace.base.image import QuotaEntity
from headrace.core.quotas import CONNECTION, Quota, Who, of_address, of_client
from headrace.core.token_bucket import TokenBucket

METERS_MAX: Final = 10_000
"""Clients of one kind of quota that are remembered, some 5 MB. Beyond it go those that are idle,
which loses nothing, and then the oldest, whose debts are forgiven."""
_NAME_CHARACTERS_MAX: Final = 256
"""Longer client ids that begin alike are counted together: a client chooses its id."""
_RECENT_MS: Final = 30_000


class Meter:
    """Mutable: touched by every request that is limited.

    `entity` is the one whose limit counts. `used` is in the quota's own unit; `throttled` and
    `throttled_ms` count answers that told their client to wait.
    """

    __slots__ = (
        "_before",
        "_bucket",
        "_max_ms",
        "_now",
        "_since_ms",
        "entity",
        "throttled",
        "throttled_ms",
        "used",
        "who",
    )

    def __init__(
        self, quota: Quota, entity: QuotaEntity, who: Who, limit: float, now_ms: int
    ) -> None:
        self.entity = entity
        self.who = who
        self.used = 0.0
        self.throttled = 0
        self.throttled_ms = 0
        self._bucket = TokenBucket(limit, quota.burst_s, now_ms)
        self._max_ms = quota.throttle_max_ms
        # Throttled answers and their milliseconds, in this half minute and the one before.
        self._now, self._before = (0, 0), (0, 0)
        self._since_ms = now_ms

    @property
    def limit(self) -> float:
        """A second's worth."""
        return self._bucket.rate

    def set_limit(self, limit: float, now_ms: int) -> None:
        self._bucket.set_rate(limit, now_ms)

    def wait_ms(self, now_ms: int) -> int:
        """How long this client has to wait by now; 0 where it is within its limit."""
        return min(self._bucket.wait_ms(now_ms), self._max_ms)

    def charge(self, amount: float, now_ms: int) -> int:
        """Count what was done; how long its client has to wait for it. HOT."""
        self.used += amount
        self._bucket.take(amount, now_ms)
        return self.wait_ms(now_ms)

    def admit(self, amount: float, now_ms: int) -> int:
        """Count `amount` and answer 0, or count nothing and answer the wait: within the limit
        anything goes, however much; beyond it nothing does (KIP-599)."""
        wait_ms = self.wait_ms(now_ms)
        if not wait_ms:
            self.used += amount
            self._bucket.take(amount, now_ms)
        return wait_ms

    def tell(self, throttle_ms: int, now_ms: int) -> None:
        """Note that the client was told to wait."""
        self.throttled += 1
        self.throttled_ms += throttle_ms
        self._turn(now_ms)
        count, total_ms = self._now
        self._now = (count + 1, total_ms + throttle_ms)

    def recent_throttle_ms(self, now_ms: int) -> float:
        """Mean wait of those told in the last half to whole minute; 0 where there was none."""
        self._turn(now_ms)
        count = self._now[0] + self._before[0]
        return (self._now[1] + self._before[1]) / count if count else 0.0

    def is_idle(self, now_ms: int) -> bool:
        """Whether a new meter would limit in the same way."""
        return self._bucket.is_full(now_ms)

    def _turn(self, now_ms: int) -> None:
        halves = (now_ms - self._since_ms) // _RECENT_MS
        if halves:
            self._before = self._now if halves == 1 else (0, 0)
            self._now = (0, 0)
            self._since_ms += halves * _RECENT_MS


class Meters:
    """All meters of one kind of quota; at most `most` are kept."""

    def __init__(self, quota: Quota, most: int = METERS_MAX) -> None:
        self.quota = quota
        self._most = most
        self._find = of_address if quota is CONNECTION else of_client
        self._limits: Mapping[QuotaEntity, float] = {}
        self._meters: dict[Who, Meter] = {}  # the oldest first
        # What was found for a client before: forgotten with every change of limits or meters.
        self._found: dict[Who, Meter | None] = {}

    def __len__(self) -> int:
        return len(self._meters)

    def __iter__(self) -> Iterator[Meter]:
        return iter(self._meters.values())

    @property
    def enforced(self) -> bool:
        """Whether anybody is limited at all."""
        return bool(self._limits)

    def configure(self, limits: Mapping[QuotaEntity, float], now_ms: int) -> None:
        """Other limits from now on. Who stays limited by the same entity keeps its debt."""
        self._limits = limits
        self._found.clear()
        for who, meter in list(self._meters.items()):
            limit = limits.get(meter.entity)
            if limit is None or meter.is_idle(now_ms):
                del self._meters[who]
            else:
                meter.set_limit(limit, now_ms)

    def of(self, user: str, client_id: str, now_ms: int) -> Meter | None:
        """The meter that counts for this client, or None where nothing limits it. HOT.

        For connections `client_id` is the address.
        """
        try:
            return self._found[user, client_id]
        except KeyError:
            return self._look(user, client_id, now_ms)

    def _look(self, user: str, client_id: str, now_ms: int) -> Meter | None:
        if len(self._found) >= self._most:
            self._found.clear()
        meter = None
        found = self._find(self._limits, user, client_id)
        if found is not None:
            entity, (of_user, of_client_id) = found
            who = (of_user, of_client_id[:_NAME_CHARACTERS_MAX])
            meter = self._meters.get(who)
            if meter is None or meter.entity != entity:
                self._make_room(now_ms)
                meter = Meter(self.quota, entity, who, self._limits[entity], now_ms)
                self._meters[who] = meter
        if len(client_id) <= _NAME_CHARACTERS_MAX:
            self._found[user, client_id] = meter
        return meter

    def _make_room(self, now_ms: int) -> None:
        """A tenth goes at a time, so that a look at all of them is paid for by many clients."""
        if len(self._meters) < self._most:
            return
        for who, meter in list(self._meters.items()):
            if meter.is_idle(now_ms):
                del self._meters[who]
        room = self._most - max(self._most // 10, 1)
        for who in list(self._meters)[: max(len(self._meters) - room, 0)]:
            del self._meters[who]
        self._found.clear()
