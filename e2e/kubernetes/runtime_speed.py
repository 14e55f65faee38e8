"""The operator's figures with many Topics: how fast, how large, how quiet.

Everything is real but the nodes (`runtime_stage`): the operator's command, the API server and its
etcd, a broker and etcd behind each Cluster. All of it shares the machine with what it measures.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from headrace_operator.kinds import TOPIC

from e2e.kubernetes.runtime_stage import Stage, collection, create_all, stage
from e2e.kubernetes.runtime_watch import TopicWatch
from e2e.kubernetes.runtime_world import START_S, Operator, World, topic, until
from e2e.rig.binaries import binary
from e2e.rig.process import run

USUAL = 1_000
MANY = 5_000
CREATED_S_MAX = 30.0
STARTED_S_MAX = 15.0
CHANGES = 200
P50_MS_MAX = 500.0
P99_MS_MAX = 1_000.0
MEMORY_MB_MAX = 250.0
FAILOVER_S_MAX = 20.0
CPU_PERCENT_MAX = 2.0
QUIET_S = 300.0
QUIET_SHORT_S = 30.0
"""For each run of the end-to-end tests; less than a look at every Topic takes."""
SETTLE_S = 15.0
QUIET_VERBS = ("get", "list", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was promised and what was measured, in the same unit."""

    what: str
    limit: float
    value: float
    unit: str

    @property
    def kept(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        missed = "" if self.kept else f", MISSED: {self.limit:g} {self.unit} at most"
        return f"{self.what}: {self.value:.4g} {self.unit}{missed}"


def topics_created(w: World) -> list[Figure]:
    """1,000 Topics created by kubectl while the operator runs; then one changed after another."""
    with stage(w) as s:
        operator = s.ready_operator()
        file = s.kubeconfig.with_name("topics.json")
        items = [topic(f"t{number}") for number in range(USUAL)]
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        with TopicWatch(w.api) as watch:
            began = time.monotonic()
            kubectl = [binary("kubectl"), f"--kubeconfig={w.api.kubeconfig}"]
            run([*kubectl, "create", "-f", file], timeout_s=120)
            asked = time.monotonic() - began
            until("all Topics are Ready", lambda: len(watch.ready) == USUAL, 120)
            took = max(at for _, at in watch.ready.values()) - began
            what = (
                f"{USUAL} Topics created by kubectl (which took {asked:.1f} s): from its start to"
                " the last Ready"
            )
            created = Figure(what=what, limit=CREATED_S_MAX, value=took, unit="s")
            return [created, *_changes(w, watch), _memory(USUAL, operator)]


def topics_found(w: World) -> list[Figure]:
    """1,000 Topics there, the operator started."""
    with stage(w) as s:
        first = s.ready_operator()
        first.stop()
        with TopicWatch(w.api) as watch:
            create_all(w.api, TOPIC, [topic(f"t{number}") for number in range(USUAL)])
            began = time.monotonic()
            operator = s.operator()
            until("all Topics are Ready", lambda: len(watch.ready) == USUAL, 120)
            took = max(at for _, at in watch.ready.values()) - began
            cpu, memory = operator.cpu_s(), _memory(USUAL, operator)
    what = (
        f"{USUAL} Topics there, the operator started: from its start to the last Ready"
        f" ({cpu:.1f} s of a core were its own)"
    )
    found = Figure(what=what, limit=STARTED_S_MAX, value=took, unit="s")
    return [found, memory]


def failover(w: World) -> list[Figure]:
    """5,000 Topics, the active operator killed, a Topic changed after it."""
    with stage(w) as s:
        s.ready_operator().stop()
        made = [topic(f"t{number}") for number in range(MANY)]
        for each in made:
            each["spec"]["partitions"] = 1
        create_all(w.api, TOPIC, made)
        with TopicWatch(w.api) as watch:
            began = time.monotonic()
            first = s.operator("--sweep-seconds=20")
            until("all Topics are Ready", lambda: len(watch.ready) == MANY, 300)
            took = max(at for _, at in watch.ready.values()) - began
            second = s.operator("--sweep-seconds=20")
            until("the standby is ready", lambda: second.is_ready, START_S)
            swept = second.metric("headrace_operator_sweeps_total")
            sample = "headrace_operator_sweeps_total"
            until("both swept twice more", lambda: second.metric(sample) >= swept + 2, 90)
            memory = [_memory(MANY, each) for each in (first, second)]
            first.process.kill()
            killed = time.monotonic()
            generation = w.change_topic("t4321")
            until("the change is Ready", lambda: watch.ready_at("t4321", generation), 60)
            at = watch.ready_at("t4321", generation) or 0.0
            _until_idle(second)
            memory.append(_memory(MANY, second))
    what = (
        f"{MANY} Topics (Ready {took:.1f} s after the operator's start), the active one killed:"
        " until a Topic changed after it is Ready"
    )
    over = Figure(what=what, limit=FAILOVER_S_MAX, value=at - killed, unit="s")
    return [over, max(memory, key=lambda figure: figure.value)]


def quiet(w: World) -> list[Figure]:
    """3 Clusters and 1,000 Topics at rest for 5 minutes."""
    return at_rest(w, QUIET_S)


def quiet_for_a_moment(w: World) -> list[Figure]:
    """3 Clusters and 1,000 Topics at rest for half a minute."""
    return at_rest(w, QUIET_SHORT_S)


def at_rest(w: World, seconds: float) -> list[Figure]:
    """What an idle operator costs, and what it asks for."""
    names = ("c", "d", "e")
    with stage(w, names) as s:
        operator = s.ready_operator()
        topics = [topic(f"t{number}") for number in range(USUAL)]
        for number, each in enumerate(topics):
            each["spec"]["clusterRef"]["name"] = names[number % len(names)]
        create_all(w.api, TOPIC, topics)
        until("all Topics are Ready", lambda: operator.ready_topics() == USUAL, 120)
        time.sleep(SETTLE_S)
        begin, cpu = len(list(w.api.audited())), operator.cpu_s()
        time.sleep(seconds)
        percent = 100 * (operator.cpu_s() - cpu) / seconds
        asked = _asked(s, begin)
        ready = operator.ready_topics()
    loud = {what: n for what, n in asked.items() if not _is_quiet(what)}
    told = ", ".join(f"{n} {what}" for what, n in sorted((loud or asked).items()))
    idle = f"{len(names)} Clusters and {ready} Ready Topics at rest for {seconds:.0f} s"
    return [
        Figure(what=f"{idle}: share of a core", limit=CPU_PERCENT_MAX, value=percent, unit="%"),
        Figure(
            what=f"{idle}: requests other than get, list, watch and the Lease's ({told})",
            limit=0,
            value=sum(loud.values()),
            unit="requests",
        ),
    ]


def _changes(w: World, watch: TopicWatch) -> list[Figure]:
    """One Topic changed at a time: from the API's answer to the watch event that says Ready."""
    times = []
    peer = w.api.connect()
    for number in range(CHANGES):
        name = f"t{number}"
        spec: dict[str, Any] = {"config": {"retention.ms": f"{700_000 + number}"}}
        if number % 2:
            spec = {"partitions": 4}
        headers = {"Content-Type": "application/merge-patch+json"}
        peer.request("PATCH", collection("Topic", name=name), json.dumps({"spec": spec}), headers)
        generation = json.loads(peer.getresponse().read())["metadata"]["generation"]
        answered = time.monotonic()
        _until_ready(watch, name, generation)
        at = watch.ready_at(name, generation) or 0.0
        times.append(1000 * (at - answered))
    peer.close()
    times.sort()
    what = f"one of {USUAL} Topics changed, {CHANGES} times: from the API's answer to Ready,"
    return [
        Figure(what=f"{what} p50", limit=P50_MS_MAX, value=times[CHANGES // 2], unit="ms"),
        Figure(what=f"{what} p99", limit=P99_MS_MAX, value=times[CHANGES * 99 // 100], unit="ms"),
    ]


def _until_ready(watch: TopicWatch, name: str, generation: int) -> None:
    until(f"{name} is Ready", lambda: watch.ready_at(name, generation) is not None, 10)


def _until_idle(operator: Operator) -> None:
    """The queue is empty: the looks that a takeover asks for are done."""
    waiting = "headrace_operator_queue_waiting"
    running = "headrace_operator_queue_running"
    idle = [waiting, running]
    until("the queue is empty", lambda: not any(operator.metric(name) for name in idle), 120)


def _memory(topics: int, operator: Operator) -> Figure:
    what = f"peak memory of the operator with {topics} Topics, its start included"
    return Figure(what=what, limit=MEMORY_MB_MAX, value=operator.peak_mb(), unit="MiB")


def _asked(s: Stage, begin: int) -> Counter[str]:
    return Counter(
        f"{entry['verb']} {(entry.get('objectRef') or {}).get('resource', entry['requestURI'])}"
        for entry in s.requests(begin)
    )


def _is_quiet(what: str) -> bool:
    verb, resource = what.split()
    return verb in QUIET_VERBS or resource == "leases"
