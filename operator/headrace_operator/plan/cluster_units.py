"""Brokers and etcd members beside their pods: what each still lacks, as a sentence. Pure."""

from typing import Final

from headrace_operator.build import names
from headrace_operator.build.broker import RenderedBroker
from headrace_operator.build.etcd import RenderedMember
from headrace_operator.build.object import annotation
from headrace_operator.crd.listeners import HTTP_PORT
from headrace_operator.kinds import STATEFUL_SET, Object
from headrace_operator.plan.differences import covers
from headrace_operator.plan.observed_cluster import ObservedCluster, Pod, Report
from headrace_operator.plan.roll import Unit

WAITS_FOR_ETCD: Final = "waiting for the metadata store"
"""How a broker's word for what it does begins while etcd does not answer it."""


def broker_unit(observed: ObservedCluster, rendered: RenderedBroker) -> Unit | None:
    """The broker as a unit of the roll; None where it does not exist yet."""
    number = rendered.broker.id
    live = _live(observed, rendered.stateful_set)
    if live is None:
        return None
    name = live["metadata"]["name"]
    pod = observed.pods.get(name)
    report = observed.reports.get(number)
    return Unit(
        stateful_set=name,
        wanted_hash=rendered.pod_hash,
        number=number,
        outdated=is_outdated(live, rendered.stateful_set),
        pod=pod,
        replacing=_is_replaced(live, pod),
        waits_for=_pod_lacks(f"Broker {number}", name, live, pod)
        or _broker_lacks(observed, number, live, report)
        or _not_ready(pod),
    )


def member_unit(observed: ObservedCluster, rendered: RenderedMember) -> Unit | None:
    """The etcd member as a unit of the roll; None where it does not exist yet."""
    live = _live(observed, rendered.stateful_set)
    if live is None:
        return None
    name = live["metadata"]["name"]
    pod = observed.pods.get(name)
    health = observed.members.get(rendered.index)
    lacks = _pod_lacks(f"etcd member {name}", name, live, pod) or _not_ready(pod)
    if lacks is None and (health is None or not health.healthy):
        lacks = f"etcd member {name} does not say that it is healthy."
    return Unit(
        stateful_set=name,
        wanted_hash=rendered.pod_hash,
        number=rendered.index,
        outdated=is_outdated(live, rendered.stateful_set),
        pod=pod,
        replacing=_is_replaced(live, pod),
        waits_for=lacks,
    )


def is_outdated(live: Object, wanted: Object) -> bool:
    """Whether bringing the StatefulSet to what is wanted would replace its pod."""
    if annotation(live, names.POD_HASH) != annotation(wanted, names.POD_HASH):
        return True
    return not covers(live["spec"].get("template"), wanted["spec"]["template"])


def _is_replaced(live: Object, pod: Pod | None) -> bool:
    return pod is None or pod.terminating or pod.pod_hash != annotation(live, names.POD_HASH)


def _live(observed: ObservedCluster, rendered: Object) -> Object | None:
    return observed.find(STATEFUL_SET, rendered["metadata"]["name"])


def _pod_lacks(who: str, stateful_set: str, live: Object, pod: Pod | None) -> str | None:
    if pod is None:
        return f"{who} has no pod yet: StatefulSet {stateful_set} is to make one."
    if pod.failure is not None:
        return pod.failure.message
    if pod.terminating:
        return f"Pod {pod.name} is ending."
    if pod.pod_hash != annotation(live, names.POD_HASH):
        return f"Pod {pod.name} is being replaced."
    return None


def _not_ready(pod: Pod | None) -> str | None:
    return None if pod is None or pod.ready else f"Pod {pod.name} is not ready yet."


def _broker_lacks(
    observed: ObservedCluster, number: int, live: Object, report: Report | None
) -> str | None:
    """What the broker itself says, which knows more than its pod's readiness."""
    if report is None:
        silent = _not_ready(observed.pods.get(live["metadata"]["name"]))
        return silent or (
            f"Broker {number} does not answer the operator on port {HTTP_PORT} (/status): look"
            " for a NetworkPolicy between them, and at the broker's log."
        )
    if report.config_hash != annotation(live, names.POD_HASH):
        return f"Broker {number} still runs with its former settings."
    before = annotation(live, names.EPOCH_BEFORE)
    if before is not None and report.epoch <= int(before):
        return f"Broker {number} has not registered again since its restart."
    if report.ready:
        return None
    doing = f": {report.progress.rstrip('.')}" if report.progress else ""
    return f"Broker {number} is starting{doing}.{_cure(observed, report)}"


def _cure(observed: ObservedCluster, report: Report) -> str:
    """For a broker that waits for somebody else's etcd, by its own words (server/broker.py)."""
    external = observed.cluster.spec.etcd.external
    if external is None or not report.progress.startswith(WAITS_FOR_ETCD):
        return ""
    return (
        f" Mend that etcd, spec.etcd.external.endpoints, or Secret {external.secret}; the brokers"
        " then go on by themselves."
    )
