"""A Cluster's conditions beside Ready, Reconciling and Stalled, from its plan. Pure."""

from collections.abc import Iterator

from headrace_operator import status
from headrace_operator.build.addresses import is_live
from headrace_operator.plan.addresses import waiting_services
from headrace_operator.plan.cluster import ClusterPlan, facts_of
from headrace_operator.plan.etcd_state import EtcdState
from headrace_operator.plan.observed_cluster import ObservedCluster


def conditions_of(observed: ObservedCluster, plan: ClusterPlan) -> Iterator[status.Says]:
    """Available always; the others where the spec gives them a meaning."""
    yield _available(observed, plan)
    if plan.etcd is not None:
        yield _etcd(plan.etcd)
    spec = observed.cluster.spec
    if spec.monitoring.pod_monitor or spec.monitoring.prometheus_rule:
        yield _monitored(observed)
    if plan.membership is not None and any(is_live(listener) for listener in spec.listeners):
        facts = facts_of(observed, plan.membership, plan.etcd)
        yield _addresses(waiting_services(observed.cluster, facts))
    if spec.deletion_protection:
        yield _protected(observed)


def _available(observed: ObservedCluster, plan: ClusterPlan) -> status.Says:
    """Each partition has one replica, so every broker counts."""
    brokers = plan.membership.brokers if plan.membership is not None else ()
    serving = [unit.number for unit in plan.units if unit.serves]
    away = sorted({broker.id for broker in brokers} - set(serving))
    if brokers and not away:
        count = "1 broker serves" if len(brokers) == 1 else f"{len(brokers)} brokers serve"
        return status.available(True, "AllBrokersServe", f"{count}.")
    if not brokers:
        return status.available(None, "Unknown", "It is not known which brokers there are.")
    shown = ", ".join(map(str, away[:10]))
    return status.available(
        False,
        "BrokersAway",
        f"{len(serving)} of {len(brokers)} brokers serve; partitions on these cannot be written"
        f" or read now: {shown}.",
    )


def _etcd(etcd: EtcdState) -> status.Says:
    if etcd.healthy == etcd.members:
        value, reason = True, "AllMembersAnswer"
    elif etcd.has_majority:
        value, reason = False, "MembersAway"
    else:
        value, reason = False, "NoMajority"
    count = f"{etcd.healthy} of {etcd.members} members answer."
    alarm = "" if etcd.alarm is None else f" {etcd.alarm}."
    return status.Says(
        type="EtcdHealthy",
        value=value and not alarm,
        reason="Alarm" if alarm else reason,
        message=f"{count}{alarm}",
    )


def _monitored(observed: ObservedCluster) -> status.Says:
    if observed.surroundings.prometheus:
        return status.Says(
            type="Monitored", value=True, reason="Made", message="Objects for Prometheus are made."
        )
    return status.Says(
        type="Monitored",
        value=False,
        reason="ApiNotServed",
        message="spec.monitoring asks for objects of the Prometheus operator, whose API is not"
        " served here: install it (monitoring.coreos.com/v1), or take spec.monitoring out.",
    )


def _addresses(waiting: list[str]) -> status.Says:
    if not waiting:
        return status.Says(
            type="AddressesKnown",
            value=True,
            reason="AllKnown",
            message="Every load balancer has an address, which the brokers give to clients.",
        )
    more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return status.Says(
        type="AddressesKnown",
        value=False,
        reason="LoadBalancerPending",
        message=f"No load balancer has given Service {waiting[0]}{more} an address: see its events,"
        " and whether this Kubernetes has load balancers. Brokers serve their other listeners, and"
        " this one as soon as the address is there.",
    )


def _protected(observed: ObservedCluster) -> status.Says:
    policies = observed.surroundings.admission_policies
    if policies is None:
        return status.Says(
            type="Protected",
            value=None,
            reason="NamedNamespaces",
            message="The Cluster and its namespace cannot be deleted where the policies of"
            " crds/protection.yaml are in force, which this operator of named namespaces may not"
            " see. Its definition can be deleted: only an operator of all namespaces guards that.",
        )
    if not policies:
        return status.Says(
            type="Protected",
            value=False,
            reason="PoliciesAbsent",
            message="Nothing refuses the deletion of this Cluster: the admission policies of"
            " crds/protection.yaml are not there. Apply that file.",
        )
    return status.Says(
        type="Protected",
        value=True,
        reason="DeletionRefused",
        message="The Cluster, its namespace and its definition cannot be deleted until"
        " spec.deletionProtection is false.",
    )
