"""The Lease's shell: a blocked process ends, a release is written, the wall clock means nothing."""

import subprocess
import sys
import textwrap
from typing import Any

import pytest
from headrace_operator.elector import EXIT_LEASE_LOST, Elector
from headrace_operator.errors import LeaseLost, Unreachable


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.wall = 1_800_000_000_000

    def monotonic_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return self.wall


class LeaseServer:
    """A Lease as the API server keeps it; e2e/kubernetes holds the election to the real one."""

    def __init__(self) -> None:
        self.version = 1
        self.away = False
        self.lease: dict[str, Any] | None = self.stored(
            {"metadata": {"name": "l", "labels": {"kept": "yes"}}}
        )

    def stored(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self.version)}
        return {**lease, "metadata": metadata}

    async def find(self, *_: Any) -> dict[str, Any] | None:
        if self.away:
            raise Unreachable("away")
        return self.lease

    async def create(self, lease: dict[str, Any]) -> dict[str, Any]:
        return await self.replace(lease)

    async def replace(self, lease: dict[str, Any]) -> dict[str, Any]:
        if self.away:
            raise Unreachable("away")
        self.lease = self.stored(lease)
        return self.lease


def elector(server: LeaseServer, clock: Clock, name: str = "me") -> Elector:
    kube: Any = server
    return Elector(kube, clock, identity=name, namespace="ns", name="l", expired=lambda _: None)


async def test_an_unheld_lease_is_taken_at_once_and_a_release_frees_it() -> None:
    server, clock = LeaseServer(), Clock()
    made = elector(server, clock)
    with pytest.raises(LeaseLost):
        made.guard()
    await made.acquire()
    made.guard()
    assert server.lease is not None
    spec = server.lease["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("me", 8)
    assert server.lease["metadata"]["labels"] == {"kept": "yes"}
    await made.release()
    assert server.lease["spec"]["holderIdentity"] == ""
    with pytest.raises(LeaseLost):
        made.guard()


async def test_a_release_that_fails_still_ends_the_leading() -> None:
    server, clock = LeaseServer(), Clock()
    made = elector(server, clock)
    await made.acquire()
    server.away = True
    await made.release()
    with pytest.raises(LeaseLost):
        made.guard()


@pytest.mark.parametrize("step_ms", [-86_400_000, 86_400_000])
async def test_a_step_of_the_wall_clock_changes_nothing(step_ms: int) -> None:
    server, clock = LeaseServer(), Clock()
    made = elector(server, clock)
    await made.acquire()
    clock.wall += step_ms
    made.guard()
    clock.now_ms += 5_999
    made.guard()
    clock.now_ms += 1
    with pytest.raises(LeaseLost):
        made.guard()
    await made.release()


def test_a_blocked_loop_ends_the_process() -> None:
    """The real clock, the real thread, a loop that sleeps through its deadline."""
    code = """
        import asyncio, time
        from headrace_operator import lease
        lease.RENEW_DEADLINE_MS = 300
        from headrace_operator.clock import SystemClock
        from headrace_operator.elector import Elector
        from tests.unit.operator.test_elector import LeaseServer

        async def main():
            elector = Elector(LeaseServer(), SystemClock(), identity="me", namespace="n", name="l")
            await elector.acquire()
            print("acting", flush=True)
            time.sleep(30)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == EXIT_LEASE_LOST, done.stderr
    assert "could not be renewed" in done.stderr
    assert "acting" in done.stdout
