"""Holding the Lease: sends what `lease` decides, and ends the process that may not act any more.

A thread watches from outside the event loop, so a blocked loop ends too. Work and renewal die
together: `main` runs both in one group.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn

import structlog
from headrace.base.clock import Clock

from headrace_operator.errors import AlreadyExists, Conflict, KubeError, LeaseLost, NotFound
from headrace_operator.kinds import LEASE, Object
from headrace_operator.kube import Kube
from headrace_operator.lease import DURATION_MS, RENEW_DEADLINE_MS, Election, Read, Write

EXIT_LEASE_LOST: Final = 75
"""EX_TEMPFAIL of sysexits.h: started again, the process is a standby."""

_WATCH_SECONDS: Final = 0.2
"""Far below the 2 s between our deadline and somebody else's takeover."""

_RELEASED_SECONDS: Final = 1

STAND_DOWN_SECONDS: Final = 30
"""Enough for an uninstall to get from its hook to the operator's pods."""

_ATTEMPTS: Final = 10
"""Of a write between two renewals, which are 2 s apart."""

_LOG = structlog.get_logger("headrace.operator.lease")


def end_process(why: str) -> NoReturn:
    """Say why on stderr and end at once, running nothing else: other code might still act."""
    sys.stderr.write(f"headrace-operator ends: {why}\n")
    sys.stderr.flush()
    os._exit(EXIT_LEASE_LOST)


class Elector:
    """Takes part in the election of one Lease. Its `kube` must have no guard of its own."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        *,
        identity: str,
        namespace: str,
        name: str,
        expired: Callable[[str], None] = end_process,
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._identity = identity
        self._namespace = namespace
        self._name = name
        self._expired = expired
        self._election = Election(identity)
        self._acquired_at = ""
        self._marks: Object = {}
        """The Lease's labels and annotations, which are somebody else's and survive a replace."""
        self._watch_ends = threading.Event()

    @property
    def acting(self) -> bool:
        """Whether this process may act now."""
        return self._election.may_act(self._clock.monotonic_ms())

    def guard(self) -> None:
        """Raise LeaseLost unless this process may act now. Cheap: it stands before each write."""
        if not self.acting:
            raise LeaseLost("this process does not hold the Lease; another one may be acting")

    async def acquire(self) -> None:
        """Return once this process may act; from then on `keep` must run."""
        while not self._election.leading:
            await self._turn()
        threading.Thread(target=self._watch, name="lease watchdog", daemon=True).start()
        while not self.acting:
            await self._turn()
        _LOG.info("lease_acquired", lease=self._name, identity=self._identity)

    async def keep(self) -> NoReturn:
        """Renew for ever. Raises LeaseLost when another process holds the Lease."""
        while not self._election.lost:
            await self._turn()
        raise LeaseLost(f"Lease {self._namespace}/{self._name} is held by another operator")

    async def release(self) -> None:
        """Let a standby take over at once; all work must have ended before. Never raises."""
        self._watch_ends.set()
        write = self._election.release()
        if write is None or write.resource_version is None:
            return
        body = self._body(write)
        body["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": _RELEASED_SECONDS}
        try:
            await self._kube.replace(body)
        except KubeError as failed:
            _LOG.warning("lease_not_released", error=str(failed))

    async def _turn(self) -> None:
        """Wait for the next moment and do one request."""
        wait_ms = self._election.next_ms() - self._clock.monotonic_ms()
        if wait_ms > 0:
            await asyncio.sleep(wait_ms / 1000)
        ask = self._election.ask(self._clock.monotonic_ms())
        try:
            if isinstance(ask, Read):
                await self._read()
            else:
                await self._write(ask)
        except KubeError as failed:
            _LOG.warning("lease_request_failed", acting=self.acting, error=str(failed))

    async def _read(self) -> None:
        lease = await self._kube.find(LEASE, self._namespace, self._name)
        now_ms = self._clock.monotonic_ms()
        if lease is None:
            self._election.absent(now_ms)
        else:
            self._marks = {
                name: lease["metadata"][name]
                for name in ("labels", "annotations")
                if name in lease["metadata"]
            }
            self._election.saw(lease, now_ms)

    async def _write(self, write: Write) -> None:
        sent_ms = self._clock.monotonic_ms()
        body = self._body(write)
        try:
            if write.resource_version is None:
                lease = await self._kube.create(body)
            else:
                lease = await self._kube.replace(body)
        except (AlreadyExists, Conflict, NotFound):
            self._election.refused()
        else:
            self._election.written(lease, sent_ms, self._clock.monotonic_ms())

    def _body(self, write: Write) -> Object:
        now = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).strftime(
            "%Y-%m-%dT%H:%M:%S.%fZ"
        )
        if write.takes_over or not self._acquired_at:
            self._acquired_at = now
        metadata: Object = {**self._marks, "name": self._name, "namespace": self._namespace}
        if write.resource_version is not None:
            metadata["resourceVersion"] = write.resource_version
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": DURATION_MS // 1000,
                "acquireTime": self._acquired_at,
                "renewTime": now,
                "leaseTransitions": write.transitions,
            },
        }

    def _watch(self) -> None:
        while not self._watch_ends.wait(_WATCH_SECONDS):
            if self._election.too_old(self._clock.monotonic_ms()):
                if self._watch_ends.is_set():
                    return
                self._expired(
                    f"the Lease could not be renewed for {RENEW_DEADLINE_MS / 1000:g} s"
                    if self._election.leading
                    else "another operator holds the Lease"
                )
                return


async def stand_down(kube: Kube, namespace: str, name: str, *, by: str) -> bool:
    """Take the Lease from whoever holds it, for STAND_DOWN_SECONDS, and wait until that one cannot
    act any more; standbys wait too. False where nobody holds it. Raises KubeError."""
    for attempt in range(_ATTEMPTS):
        lease = await kube.find(LEASE, namespace, name)
        if lease is None or not (lease.get("spec") or {}).get("holderIdentity"):
            return False
        lease["spec"] |= {"holderIdentity": by, "leaseDurationSeconds": STAND_DOWN_SECONDS}
        try:
            await kube.replace(lease)
            break
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
    await asyncio.sleep(RENEW_DEADLINE_MS / 1000)
    return True
