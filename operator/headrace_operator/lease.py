"""Who is the active operator: the rules of holding a Lease, without a clock or a request.

One process may act only until RENEW_DEADLINE after it *sent* its last successful renewal; another
may take over only once it has seen the Lease unchanged for its whole duration, by its own clock.
The first moment is before the second one whatever the wall clocks say, so no two act at once;
what each relies on is that seconds are equally long everywhere and that a replace is refused
unless the resourceVersion still holds.

Times are milliseconds of a clock that never goes back. The times written into the Lease are for
people alone.
"""

from dataclasses import dataclass
from typing import Final

from headrace_operator.kinds import Object

DURATION_MS: Final = 8_000
RENEW_DEADLINE_MS: Final = 6_000
"""The holder stops acting this long after its last good renewal: 2 s before anyone takes over."""

RETRY_MS: Final = 2_000
"""Between two requests: three renewals may fail before the deadline."""

REQUEST_TIMEOUT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Ask for the Lease; answer with `saw` or `absent`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Create the Lease (`resource_version` None) or replace it as it was at that version; answer
    with `written`, `refused` or, where the outcome is unknown, with nothing."""

    resource_version: str | None
    transitions: int
    takes_over: bool


class Election:
    """One process' part. The shell asks `next_ms` and `ask`, does it, and says what came back."""

    def __init__(self, identity: str) -> None:
        """`identity` must belong to this process alone, not to its restarts."""
        self._identity = identity
        self._version: str | None = None
        self._unchanged_since_ms = 0
        self._duration_ms = DURATION_MS
        self._holder = ""
        self._transitions = 0
        self._present = True
        self._asked_ms: int | None = None
        """When the last request went out; None where the next one should go at once."""
        self._stale = True
        """The Lease has to be looked at before it can be written."""
        self.leading = False
        self.lost = False
        """Led once and may not any more. Final: the process has to end."""
        self.last_good_ms = 0
        self._acts_from_ms = 0

    def may_act(self, now_ms: int) -> bool:
        """Whether this process may change anything now."""
        return self.leading and now_ms >= self._acts_from_ms and self._is_fresh(now_ms)

    def too_old(self, now_ms: int) -> bool:
        """Whether the process has to end: it leads, and its last good renewal is too old."""
        return self.lost or (self.leading and not self._is_fresh(now_ms))

    def next_ms(self) -> int:
        """When `ask` should be asked next: at the next turn, or the moment the Lease is free."""
        if self._asked_ms is None:
            return 0
        turn_ms = self._asked_ms + RETRY_MS
        if self.leading and self._asked_ms < self._acts_from_ms:
            return min(turn_ms, self._acts_from_ms)
        if self._stale or self.leading:
            return turn_ms
        return min(turn_ms, max(self._asked_ms + 1, self._free_ms()))

    def ask(self, now_ms: int) -> Read | Write:
        """The request to send now. A holder renews blindly; everyone else looks first."""
        self._asked_ms = now_ms
        if self._stale:
            return Read()
        if self._is_free(now_ms):
            # Whatever comes back, or nothing: the version is known only after a look or a success.
            self._stale = True
            takes_over = self._holder != self._identity
            return Write(
                resource_version=self._version if self._present else None,
                transitions=self._transitions + (1 if takes_over and self._present else 0),
                takes_over=takes_over,
            )
        return Read()

    def saw(self, lease: Object, now_ms: int) -> None:
        """The Lease as it stands."""
        spec = lease.get("spec") or {}
        version = str(lease["metadata"]["resourceVersion"])
        if version != self._version:
            self._version, self._unchanged_since_ms = version, now_ms
        self._present = True
        self._holder = spec.get("holderIdentity") or ""
        self._transitions = int(spec.get("leaseTransitions") or 0)
        # A Lease that nobody ever held (the chart's) is free at once, one without an end is not.
        unsaid_s = DURATION_MS // 1000 if self._holder else 0
        self._duration_ms = int(spec.get("leaseDurationSeconds") or unsaid_s) * 1000
        if self.leading and self._holder != self._identity:
            self._lose()
        self._stale = False
        if self._is_free(now_ms):
            self._asked_ms = None

    def absent(self, now_ms: int) -> None:
        """There is no Lease: the first install, or somebody deleted it under its holder."""
        self._present, self._version, self._holder = False, None, ""
        self._unchanged_since_ms, self._duration_ms = now_ms, 0
        self._stale = False
        self._asked_ms = None

    def written(self, lease: Object, sent_ms: int, now_ms: int) -> None:
        """The write was done; it was sent at `sent_ms`, its answer came at `now_ms`."""
        if not self.leading and (not self._present or self._holder == self._identity):
            # What we created, maybe with an answer that got lost, says nothing of a holder whose
            # Lease was deleted: it may act until its deadline, but cannot renew any more.
            self._acts_from_ms = now_ms + RENEW_DEADLINE_MS
        self._version = str(lease["metadata"]["resourceVersion"])
        self._transitions = int((lease.get("spec") or {}).get("leaseTransitions") or 0)
        self._present, self._holder, self._stale = True, self._identity, False
        self._duration_ms = DURATION_MS
        self._unchanged_since_ms = self.last_good_ms = sent_ms
        self.leading = not self.lost

    def refused(self) -> None:
        """Somebody wrote in between (409, or 404 for a replace): look at once."""
        self._stale = True
        self._asked_ms = None

    def release(self) -> Write | None:
        """Stop leading; the write that frees the Lease for others, where one is of use."""
        if not self.leading:
            return None
        self._lose()
        return Write(
            resource_version=self._version, transitions=self._transitions, takes_over=False
        )

    def _is_fresh(self, now_ms: int) -> bool:
        return now_ms - self.last_good_ms < RENEW_DEADLINE_MS

    def _is_free(self, now_ms: int) -> bool:
        return self.leading or self._holder == self._identity or now_ms >= self._free_ms()

    def _free_ms(self) -> int:
        return self._unchanged_since_ms + self._duration_ms

    def _lose(self) -> None:
        self.leading = False
        self.lost = True
