"""Checks of speed, memory and quiet with many Topics."""

import time
from collections import Counter

from e2e.kubernetes.runtime_world import LEASE, START_S, CheckFailed, World, until

TOPICS_MANY = 5_000
TOPICS_USUAL = 1_000
MEMORY_MB_MAX = 250.0
CATCH_UP_S_MAX = 15.0
FAILOVER_S_MAX = 20.0
P50_S_MAX = 0.5
P99_S_MAX = 1.0
CPU_SHARE_MAX = 0.02
CHANGES = 200
QUIET_S = 20.0
QUIET_VERBS = {"get", "list", "watch"}


def load(w: World) -> str:
    """1,000 Topics there, the operator started; then one change at a time, then none."""
    w.create_topics(TOPICS_USUAL)
    # As the chart makes it; a Lease that is absent may have been deleted under its holder.
    w.ask("POST", LEASE.rpartition("/")[0], {"metadata": {"name": LEASE.rpartition("/")[2]}})
    began = time.monotonic()
    operator = w.operator()
    until("all are Ready", lambda: operator.ready_topics() == TOPICS_USUAL, 60)
    caught_up = time.monotonic() - began
    times = []
    for number in range(CHANGES):
        name = f"t{number}"
        generation = w.change_topic(name)
        answered = time.monotonic()
        while w.observed(name) != generation:
            if time.monotonic() - answered > 5:
                raise CheckFailed(f"the change of {name} is not seen after 5 s")
        times.append(time.monotonic() - answered)
    times.sort()
    p50, p99 = times[CHANGES // 2], times[CHANGES * 99 // 100]
    measured = (
        f"{TOPICS_USUAL} Topics Ready {caught_up:.1f} s after the start,"
        f" {operator.peak_mb():.0f} MB; one change p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms"
    )
    if caught_up > CATCH_UP_S_MAX or p50 > P50_S_MAX or p99 > P99_S_MAX:
        raise CheckFailed(measured)
    return measured


def quiet(w: World) -> str:
    """With nothing to do the operators ask for nothing but their Lease, and watch."""
    w.create_topics(TOPICS_USUAL)
    first, second = w.pair()
    until("all are Ready", lambda: first.ready_topics() == TOPICS_USUAL, 60)
    time.sleep(10)
    begin, cpu = len(list(w.api.audited())), first.cpu_s()
    time.sleep(QUIET_S)
    asked: Counter[str] = Counter()
    for entry in list(w.api.audited())[begin:]:
        resource = (entry.get("objectRef") or {}).get("resource", entry["requestURI"])
        if "kube-apiserver" not in entry.get("userAgent", ""):
            asked[f"{entry['verb']} {resource}"] += 1
    share = (first.cpu_s() - cpu) / QUIET_S
    loud = [
        what
        for what in asked
        if what.split()[0] not in QUIET_VERBS and not what.endswith(" leases")
    ]
    if loud or share > CPU_SHARE_MAX or not second.is_ready:
        raise CheckFailed(f"{dict(asked)}, {100 * share:.1f} % of a core")
    return f"{dict(asked)} in {QUIET_S:.0f} s, {100 * share:.2f} % of a core"


def failover(w: World) -> str:
    """5,000 Topics, the active operator killed: the standby acts on a change made after it."""
    w.create_topics(TOPICS_MANY)
    first = w.operator()
    until("all are Ready", lambda: first.ready_topics() == TOPICS_MANY, 120)
    second = w.operator()
    until("the standby is ready", lambda: second.is_ready, START_S)
    time.sleep(5)
    peak = max(first.peak_mb(), second.peak_mb())
    first.process.kill()
    began = time.monotonic()
    generation = w.change_topic("t4321")
    until("the change is acted on", lambda: w.observed("t4321") == generation, 60)
    took = time.monotonic() - began
    measured = f"{TOPICS_MANY} Topics: failover {took:.1f} s, {peak:.0f} MB at most"
    if took > FAILOVER_S_MAX or peak > MEMORY_MB_MAX:
        raise CheckFailed(measured)
    return measured
