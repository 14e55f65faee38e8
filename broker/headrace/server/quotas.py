"""Quotas at work: who used what, how long it has to wait, and the muting of its connection.

While nobody is limited a request costs a look at `active` (a new connection: at
`connection.enforced`) and nothing else. A limited client's answer is sent at once and tells the
wait (KIP-219); until that is over its connection is not read, so a client that does not heed it
is slowed all the same. The control listener is exempt: brokers and the operator are not clients.
"""

import asyncio
from collections.abc import Iterable, Mapping
from time import perf_counter_ns
from typing import Any, Final

from headrace.base.clock import Clock
from headrace.base.errors import Code, Refusal
from headrace.base.image import QuotaEntity, QuotaState
from headrace.core.quota_meter import Meter, Meters
from headrace.core.quotas import ANONYMOUS, CONNECTION, FETCH, MUTATION, PRODUCE, REQUEST
from headrace.server.connection import Connection

_PERCENT_A_NS: Final = 100 / 1e9
"""A nanosecond of the loop as a share of a second, in percent: one broker has one loop."""


class Quotas:
    """One a broker. `exempt` is the name of the control listener."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, exempt: str) -> None:
        self.active = False
        self.produce = Meters(PRODUCE)
        self.fetch = Meters(FETCH)
        self.request = Meters(REQUEST)
        self.mutation = Meters(MUTATION)
        self.connection = Meters(CONNECTION)
        self._loop = loop
        self._clock = clock
        self._exempt = exempt
        self._began_ns = 0

    def all(self) -> tuple[Meters, ...]:
        """Those of every kind of quota."""
        return self.produce, self.fetch, self.request, self.mutation, self.connection

    def follow(self, quotas: Mapping[QuotaEntity, QuotaState]) -> None:
        """Apply the quotas of the newest metadata."""
        now_ms = self._clock.monotonic_ms()
        for meters in self.all():
            key = meters.quota.key
            limits = {e: state.values[key] for e, state in quotas.items() if key in state.values}
            meters.configure(limits, now_ms)
        self.active = any(m.enforced for m in self.all() if m is not self.connection)

    # Time of the loop. Charges of one request may be many; each counts what came since the last.

    def begin(self) -> None:
        """A request begins, or goes on after it waited."""
        self._began_ns = perf_counter_ns()

    def _time(self) -> float:
        now_ns = perf_counter_ns()
        began_ns, self._began_ns = self._began_ns, now_ns
        return (now_ns - began_ns) * _PERCENT_A_NS

    # What requests use. Each answers the throttle_time_ms to tell, and has muted the connection.

    def produced(self, connection: Connection, client_id: str | None, size_bytes: int) -> int:
        """A Produce request of so many bytes was carried out, also with acks=0."""
        charges = ((self.produce, size_bytes), (self.request, self._time()))
        return self._charge(connection, client_id, charges)

    def fetched(self, connection: Connection, client_id: str | None, size_bytes: int) -> int:
        """So many bytes of records are about to be sent."""
        charges = ((self.fetch, size_bytes), (self.request, self._time()))
        return self._charge(connection, client_id, charges)

    def waits(self, connection: Connection, client_id: str | None) -> None:
        """A request is not answered yet: its time counts now, what follows from it later."""
        if connection.listener != self._exempt:
            now_ms = self._clock.monotonic_ms()
            meter = self.request.of(ANONYMOUS, client_id or "", now_ms)
            if meter is not None:
                meter.charge(self._time(), now_ms)

    def answered(
        self,
        connection: Connection,
        client_id: str | None,
        fields: Mapping[str, Any],
        spent_ns: int | None = None,
    ) -> int:
        """Any other request was carried out; `spent_ns` of the loop, or all since `begin`."""
        time = self._time() if spent_ns is None else spent_ns * _PERCENT_A_NS
        told_ms: int = fields.get("throttle_time_ms", 0)
        throttle_ms = self._charge(connection, client_id, ((self.request, time),), told_ms)
        return max(throttle_ms, told_ms)

    def fetch_bytes_max(self, connection: Connection, client_id: str | None) -> int | None:
        """The most that one Fetch should give this client; None where nothing limits it."""
        meter = self._fetch_meter(connection, client_id)
        return None if meter is None else max(int(meter.limit * FETCH.burst_s), 1)

    def fetch_refused(self, connection: Connection, client_id: str | None) -> int:
        """The wait where this client has to wait before it is given more; else 0."""
        meter = self._fetch_meter(connection, client_id)
        if meter is None:
            return 0
        now_ms = self._clock.monotonic_ms()
        wait_ms = meter.wait_ms(now_ms)
        if wait_ms:
            meter.tell(wait_ms, now_ms)
            self._mute(connection, wait_ms)
        return wait_ms

    def mutations(self, listener: str, client_id: str | None, *, strict: bool) -> "Mutations":
        """What one request may change in the cluster."""
        now_ms = self._clock.monotonic_ms()
        meter = None
        if self.mutation.enforced and listener != self._exempt:
            meter = self.mutation.of(ANONYMOUS, client_id or "", now_ms)
        return Mutations(meter, now_ms, strict=strict)

    def connecting(self, listener: str, address: str) -> int:
        """How long a new connection is left unread before it is closed; 0: it may stay."""
        if listener == self._exempt:
            return 0
        now_ms = self._clock.monotonic_ms()
        meter = self.connection.of("", address, now_ms)
        wait_ms = 0 if meter is None else meter.admit(1, now_ms)
        if meter is not None and wait_ms:
            meter.tell(wait_ms, now_ms)
        return wait_ms

    def _fetch_meter(self, connection: Connection, client_id: str | None) -> Meter | None:
        if connection.listener == self._exempt:
            return None
        return self.fetch.of(ANONYMOUS, client_id or "", self._clock.monotonic_ms())

    def _charge(
        self,
        connection: Connection,
        client_id: str | None,
        charges: Iterable[tuple[Meters, float]],
        told_ms: int = 0,
    ) -> int:
        """The longest wait of all, told in its own meter's name; `told_ms` was told before."""
        if connection.listener == self._exempt:
            return 0
        now_ms = self._clock.monotonic_ms()
        longest_ms, longest = told_ms, None
        for meters, amount in charges:
            meter = meters.of(ANONYMOUS, client_id or "", now_ms) if meters.enforced else None
            wait_ms = 0 if meter is None else meter.charge(amount, now_ms)
            if wait_ms > longest_ms:
                longest_ms, longest = wait_ms, meter
        if longest is not None:
            longest.tell(longest_ms, now_ms)
        if longest_ms:
            self._mute(connection, longest_ms)
        return longest_ms

    def _mute(self, connection: Connection, throttle_ms: int) -> None:
        connection.mute()
        self._loop.call_later(throttle_ms / 1000, connection.unmute)


class Mutations:
    """Partitions that one request makes or removes (KIP-599).

    `strict` requests know THROTTLING_QUOTA_EXCEEDED: beyond the limit nothing is done for them.
    For older ones everything is done and they wait. `throttle_ms` is what to tell.
    """

    __slots__ = ("_meter", "_now_ms", "_strict", "throttle_ms")

    def __init__(self, meter: Meter | None, now_ms: int, *, strict: bool) -> None:
        self._meter, self._now_ms, self._strict = meter, now_ms, strict
        self.throttle_ms = 0

    def charge(self, partitions: int) -> Refusal | None:
        """Count so many partitions, or say why they may not change now."""
        meter = self._meter
        if meter is None:
            return None
        count = meter.admit if self._strict else meter.charge
        wait_ms = count(partitions, self._now_ms)
        if wait_ms > self.throttle_ms:
            self.throttle_ms = wait_ms
            meter.tell(wait_ms, self._now_ms)
        if not wait_ms or not self._strict:
            return None
        return Refusal(
            Code.THROTTLING_QUOTA_EXCEEDED,
            f"The quota {MUTATION.key} of this client is used up; try again in {wait_ms} ms.",
        )
