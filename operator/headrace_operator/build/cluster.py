"""All objects of a Cluster, in the order they are applied."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace_operator.build.broker import COMPONENT, RenderedBroker, render_broker
from headrace_operator.build.broker_settings import split
from headrace_operator.build.etcd import RenderedMember, render_etcd, render_member
from headrace_operator.build.facts import Facts
from headrace_operator.build.monitoring import render_monitoring
from headrace_operator.build.problem import CannotBuild, Problem
from headrace_operator.build.protection import broker_policy, budget, service_account
from headrace_operator.build.services import render_services
from headrace_operator.crd.cluster import Cluster
from headrace_operator.kinds import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a Cluster stands for. `pending` says by broker id what its objects wait for."""

    shared: tuple[Object, ...]
    members: tuple[RenderedMember, ...]
    brokers: tuple[RenderedBroker, ...]
    pending: Mapping[int, str]
    dynamic: Mapping[str, str]
    """Settings that are set live, for all brokers."""

    def objects(self) -> list[Object]:
        """Everything, flat."""
        found = list(self.shared)
        for member in self.members:
            found += [member.volume, member.stateful_set]
        for broker in self.brokers:
            found += [broker.volume, broker.config_map, broker.stateful_set]
        return found


def render_cluster(cluster: Cluster, facts: Facts) -> Rendering | Problem:
    """The objects of a Cluster, or why its spec cannot be made into any."""
    try:
        return _render(cluster, facts)
    except CannotBuild as refused:
        return refused.problem


def _render(cluster: Cluster, facts: Facts) -> Rendering:
    settings = split(cluster.spec.config)
    name = cluster.metadata.name
    shared = [
        service_account(cluster),
        *render_services(cluster, facts.brokers),
        budget(cluster, name, COMPONENT),
        broker_policy(cluster, facts.operator_namespace),
    ]
    members: tuple[RenderedMember, ...] = ()
    etcd = cluster.spec.etcd.managed
    if etcd is not None:
        shared += render_etcd(cluster, etcd, facts)
        indexes = range(etcd.members)
        members = tuple(render_member(cluster, etcd, index, facts) for index in indexes)
    if facts.prometheus:
        shared += render_monitoring(cluster)
    tried = {b.id: render_broker(cluster, b, settings, facts) for b in facts.brokers}
    return Rendering(
        shared=tuple(shared),
        members=members,
        brokers=tuple(found for found in tried.values() if isinstance(found, RenderedBroker)),
        pending={broker_id: why for broker_id, why in tried.items() if isinstance(why, str)},
        dynamic=settings.dynamic,
    )
