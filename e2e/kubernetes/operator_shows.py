"""What an operator shows of itself, and what another build of it leaves alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.kubernetes.runtime_nodes import SETS
from e2e.kubernetes.runtime_speed import QUIET_VERBS
from e2e.kubernetes.runtime_stage import collection
from e2e.kubernetes.runtime_world import START_S, CheckFailed, Operator, until
from e2e.kubernetes.topic_rules import LOOK_S, LOOKED_S, Scene, expect

NEXT_BUILD = "9.9.9"
METRICS = (
    'headrace_operator_reconciles_total{kind="Topic",outcome="done"}',
    'headrace_operator_reconciles_total{kind="Cluster",outcome="done"}',
    'headrace_operator_reconcile_seconds_count{kind="Topic"}',
    'headrace_operator_reconcile_seconds_sum{kind="Topic"}',
    'headrace_operator_resources{kind="Cluster",state="Ready"}',
    'headrace_operator_resources{kind="Topic",state="Ready"}',
    'headrace_operator_resources{kind="Topic",state="Stalled"}',
    "headrace_operator_leader",
    "headrace_operator_sweeps_total",
)
"""Samples above 0 while a Topic is Ready and another one Stalled."""
GAUGES = (
    "headrace_operator_queue_waiting",
    "headrace_operator_queue_running",
    "headrace_operator_queue_longest_wait_seconds",
    "headrace_operator_queue_longest_run_seconds",
    "headrace_operator_missed_events_total",
)


def metrics_and_events(s: Scene) -> str:
    """Its metrics count what it does, and what it says again and again is one Event."""
    operator = _active(s)
    ready, stuck = s.topic("good"), s.topic("bad", config={"retention.ms": "soon"})
    s.says(ready, "Ready", "InSync")
    sentence = s.says(stuck, "Stalled", "InvalidConfig")
    absent = [sample for sample in METRICS if operator.metric(sample) <= 0]
    page = operator.page("/metrics")[1]
    absent += [sample for sample in GAUGES if f"\n{sample} " not in page]
    expect(absent, [], "metrics that are missing or 0")
    passes = METRICS[0]
    before = operator.metric(passes)
    for number in range(3):
        label = {"metadata": {"labels": {"looked": str(number)}}}
        s.stage.w.ask("PATCH", stuck, label)
    until("it is looked at again", lambda: operator.metric(passes) >= before + 3, 2 * LOOKED_S)
    events = s.get(f"/apis/events.k8s.io/v1/namespaces/{s.namespace}/events")["items"]
    told = [event["note"] for event in events if event["regarding"]["name"] == "bad"]
    expect(told, [sentence], "Events of the Topic that is stuck")
    return f"{len(METRICS) + len(GAUGES)} metrics, one Event for many passes"


def logs_are_json(s: Scene) -> str:
    """Every line of its log is one JSON object with a time, a level and what happened."""
    lines = _lines(_active(s).log)
    for line in lines:
        lacks = {"@timestamp", "level", "event", "logger"} - set(line)
        expect(lacks, set(), f"what {line} lacks")
    expect(bool(lines), True, "there is a log")
    return f"{len(lines)} lines"


def nothing_is_denied(s: Scene) -> str:
    """What the chart grants is enough: no request of the operator was forbidden."""
    entries = s.stage.requests()
    denied = {e["requestURI"] for e in entries if e.get("responseStatus", {}).get("code") == 403}
    expect(denied, set(), "requests that were forbidden")
    return f"{len(entries)} requests"


def another_build(s: Scene) -> str:
    """Another build of the operator takes over and writes nothing: no pod has another template."""
    s.says(s.topic("stays"), "Ready", "InSync")
    old = _active(s)
    before = _sets(s)
    old.stop()
    begin = len(list(s.stage.w.api.audited()))
    new = s.stage.operator(f"--look-seconds={LOOK_S}", version=NEXT_BUILD)
    until("the new build leads", lambda: new.leads, START_S)
    looked = 'headrace_operator_reconciles_total{kind="Cluster",outcome="done"}'
    clusters = len(s.get(collection("Cluster"))["items"])
    until("it looked at every Cluster", lambda: new.metric(looked) >= clusters, START_S)
    topics = 'headrace_operator_reconciles_total{kind="Topic",outcome="done"}'
    until("it looked at a Topic twice", lambda: new.metric(topics) >= 2, START_S)
    writes = [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in s.stage.requests(begin)
        if entry["verb"] not in QUIET_VERBS
        and (entry.get("objectRef") or {}).get("resource") != "leases"
    ]
    expect(writes, [], "what the new build wrote")
    expect(_sets(s), before, "the StatefulSets")
    return f"build {NEXT_BUILD} left {len(before)} StatefulSets as they were, and wrote nothing"


def _active(s: Scene) -> Operator:
    found = [operator for operator in s.stage.w.operators if operator.leads]
    if len(found) != 1:
        raise CheckFailed(f"{len(found)} operators lead")
    return found[0]


def _sets(s: Scene) -> dict[str, tuple[str, str]]:
    """Of each StatefulSet, its version and its pod's hash."""
    found: dict[str, tuple[str, str]] = {}
    for obj in s.get(SETS)["items"]:
        metadata = obj["metadata"]
        annotations = obj["spec"]["template"]["metadata"]["annotations"]
        version = metadata["resourceVersion"]
        found[metadata["name"]] = (version, annotations["headrace.io/pod-hash"])
    return found


def _lines(log: Path) -> list[dict[str, Any]]:
    lines = []
    for text in log.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            raise CheckFailed(f"no JSON: {text}") from None
    return lines


RULES: tuple[Callable[[Scene], str], ...] = (
    metrics_and_events,
    logs_are_json,
    another_build,
    nothing_is_denied,
)
