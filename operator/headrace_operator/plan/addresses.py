"""Where each broker says that clients find it, beside what it should say. Pure."""

from collections.abc import Iterator

from headrace_operator.build import names
from headrace_operator.build.addresses import is_live, live_addresses
from headrace_operator.build.facts import Facts
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import SERVICE
from headrace_operator.plan.cluster_actions import AlterBrokerAddresses
from headrace_operator.plan.observed_cluster import ObservedCluster


def may_have_addresses(observed: ObservedCluster) -> bool:
    """Whether a load balancer is, or was until now, part of the Cluster."""
    return any(is_live(one) for one in observed.cluster.spec.listeners) or any(
        (service.get("spec") or {}).get("type") == "LoadBalancer"
        for service in observed.all_of(SERVICE)
    )


def plan_addresses(observed: ObservedCluster, facts: Facts) -> Iterator[AlterBrokerAddresses]:
    """The changes to make, of those brokers that told what they have."""
    for broker in facts.brokers:
        if broker.id not in observed.own_addresses:
            continue
        try:
            wanted = live_addresses(observed.cluster, broker, facts)
        except LookupError:
            continue
        if observed.own_addresses[broker.id] != wanted:
            yield AlterBrokerAddresses(broker=broker.id, value=wanted)


def waiting_services(cluster: Cluster, facts: Facts) -> list[str]:
    """Services of brokers that no load balancer has given an address."""
    wanted = (
        names.listener_service(cluster.metadata.name, listener.name, broker.id)
        for listener in cluster.spec.listeners
        if is_live(listener)
        for broker in facts.brokers
    )
    return [service for service in wanted if service not in facts.addresses]
