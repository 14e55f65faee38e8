"""Checks of the election: whatever happens to the holder of the Lease, one operator acts."""

import signal
import time

from headrace_operator.elector import EXIT_LEASE_LOST

from e2e.kubernetes.runtime_world import LEASE, START_S, TOPICS, CheckFailed, World, topic, until
from e2e.rig.process import Daemon

EXIT_BUG = 70
DEADLINE_S = 6.0
DURATION_S = 8.0
SLACK_S = 1.5


def first_install(w: World) -> str:
    """No Lease yet and two that start at once: one acts, both are Ready."""
    first, second = w.operator(), w.operator()
    took = until("one of two leads", lambda: first.leads or second.leads, START_S)
    until("both are ready", lambda: first.is_ready and second.is_ready, START_S)
    time.sleep(DURATION_S)
    if first.leads == second.leads:
        raise CheckFailed("both lead, or none")
    return f"one of two leads {took:.1f} s after their start"


def api_server_frozen(w: World) -> str:
    """The active one ends by itself before a standby may act; the standby stays."""
    first, second = w.pair()
    w.api.server.pause()
    try:
        began = time.monotonic()
        code = first.exit_code(DEADLINE_S + SLACK_S)
        took = time.monotonic() - began
        if second.process.poll() is not None:
            raise CheckFailed("the standby ended too")
    finally:
        w.api.server.resume()
    if code != EXIT_LEASE_LOST:
        raise CheckFailed(f"it ended with {code}, not {EXIT_LEASE_LOST}")
    again = until("the standby leads", lambda: second.leads, DURATION_S + 4)
    return f"it ended after {took:.1f} s; {again:.1f} s after the thaw the standby leads"


def api_server_refuses(w: World) -> str:
    """A stopped API server ends the active one; started again, the standby acts on changes."""
    w.create_topics(1)
    first, second = w.pair()
    w.api.server.process.kill()
    w.api.server.process.wait()
    code = first.exit_code(DEADLINE_S + SLACK_S)
    if code != EXIT_LEASE_LOST:
        raise CheckFailed(f"it ended with {code}, not {EXIT_LEASE_LOST}")
    command = [str(part) for part in w.api.server.process.args]
    w.api.server = Daemon("kube-apiserver", command, w.api.server.log)
    w.api.server.wait_until(w.api.ready, 60)
    until("the standby leads", lambda: second.leads, DURATION_S + 4)
    generation = w.change_topic("t0")
    took = until("a change is seen", lambda: w.observed("t0") == generation, 30)
    return f"a change after the restart is acted on in {took:.2f} s"


def api_server_away_at_start(w: World) -> str:
    """An operator that starts before its API server answers waits for it."""
    w.api.server.pause()
    try:
        operator = w.operator()
        until("it answers probes", lambda: operator.page("/healthz")[0] == 200, START_S)
        time.sleep(DURATION_S)
        if operator.is_ready or operator.process.poll() is not None:
            raise CheckFailed("it is ready, or has ended")
    finally:
        w.api.server.resume()
    took = until("it is ready", lambda: operator.is_ready, START_S)
    return f"ready {took:.1f} s after the API server answered"


def lease_taken(w: World) -> str:
    """Somebody else stands in the Lease: the holder ends at its next renewal."""
    first = w.operator()
    until("it leads", lambda: first.leads, START_S)
    w.ask("PATCH", LEASE, {"spec": {"holderIdentity": "somebody-else"}})
    began = time.monotonic()
    code = first.exit_code(DEADLINE_S)
    if code != EXIT_LEASE_LOST:
        raise CheckFailed(f"it ended with {code}, not {EXIT_LEASE_LOST}")
    return f"it ended after {time.monotonic() - began:.1f} s"


def lease_deleted(w: World) -> str:
    """A Lease that was deleted comes back with the same holder."""
    first, second = w.pair()
    holder = w.ask("GET", LEASE)["spec"]["holderIdentity"]
    w.ask("DELETE", LEASE)
    until("the Lease is back", lambda: w.api.request("GET", LEASE)[0] == 200, 4)
    time.sleep(DURATION_S + 1)
    if w.ask("GET", LEASE)["spec"]["holderIdentity"] != holder or not first.leads or second.leads:
        raise CheckFailed("another one leads")
    return "the holder wrote it anew and stayed"


def blocked_loop(w: World) -> str:
    """A loop that does not turn cannot renew: a thread ends the process."""
    first = w.operator()
    until("it leads", lambda: first.leads, START_S)
    w.ask("POST", TOPICS, topic("blocker", annotations={"e2e/block": "30"}))
    began = time.monotonic()
    code = first.exit_code(DEADLINE_S + SLACK_S)
    if code != EXIT_LEASE_LOST:
        raise CheckFailed(f"it ended with {code}, not {EXIT_LEASE_LOST}")
    return f"it ended after {time.monotonic() - began:.1f} s"


def frozen_process(w: World) -> str:
    """A process that slept through its deadline ends when it wakes, and writes nothing."""
    first, second = w.pair()
    w.create_topics(1)
    until("the Topic is Ready", lambda: first.ready_topics() == 1, 10)
    first.send(signal.SIGSTOP)
    until("the standby leads", lambda: second.leads, DURATION_S + 4)
    first.send(signal.SIGCONT)
    code = first.exit_code(3)
    if code != EXIT_LEASE_LOST:
        raise CheckFailed(f"it ended with {code}, not {EXIT_LEASE_LOST}")
    if not second.leads:
        raise CheckFailed("the standby lost the Lease again")
    return "it ended as soon as it woke"


def crashing_work(w: World) -> str:
    """A bug ends work and renewal together; the next one acts once the cause is gone."""
    first, second = w.pair()
    w.ask("POST", TOPICS, topic("poison", annotations={"e2e/crash": "yes"}))
    if (code := first.exit_code(10)) != EXIT_BUG:
        raise CheckFailed(f"it ended with {code}, not {EXIT_BUG}")
    w.ask("PATCH", f"{TOPICS}/poison", {"metadata": {"annotations": {"e2e/crash": None}}})
    took = until("the Topic is Ready", lambda: second.ready_topics() == 1, DURATION_S + 4)
    return f"{took:.1f} s later the standby had done the work"


def sigterm(w: World) -> str:
    """A pod that is told to go hands the Lease over."""
    first, second = w.pair()
    began = time.monotonic()
    first.send(signal.SIGTERM)
    if (code := first.exit_code(10)) != 0:
        raise CheckFailed(f"it ended with {code}")
    ended = time.monotonic() - began
    took = until("the standby leads", lambda: second.leads, 5)
    return f"it ended in {ended:.1f} s, the standby leads {took:.1f} s later"
