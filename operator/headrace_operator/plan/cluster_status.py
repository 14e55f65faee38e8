"""A Cluster's status from its plan: the numbers that people and CEL rules read. Pure."""

from collections.abc import Iterator

from headrace_operator.build import names
from headrace_operator.build.addresses import bracketed
from headrace_operator.build.object import annotation, digest
from headrace_operator.crd.cluster_status import (
    BrokerStatus,
    ClusterStatus,
    EtcdStatus,
    ListenerStatus,
    PoolStatus,
    Rollout,
)
from headrace_operator.crd.listeners import Listener
from headrace_operator.crd.quantity import amount
from headrace_operator.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
    STATEFUL_SET,
    Object,
)
from headrace_operator.plan.cluster import ClusterPlan
from headrace_operator.plan.observed_cluster import ObservedCluster
from headrace_operator.plan.roll import Roll


def status_of(observed: ObservedCluster, plan: ClusterPlan) -> ClusterStatus:
    """All of status but conditions and generation."""
    old = observed.cluster.status
    if plan.membership is None:
        return old
    reports = list(observed.reports.values())
    versions = {report.version for report in reports if report.version}
    clusters = sorted({report.cluster_id for report in reports if report.cluster_id})
    return ClusterStatus(
        cluster_id=clusters[0] if clusters else old.cluster_id,
        version=versions.pop() if len(versions) == 1 else old.version,
        brokers=sum(pool.replicas for pool in observed.cluster.spec.pools),
        ready_brokers=sum(unit.settled for unit in plan.units),
        pools=tuple(_pools(observed, plan)),
        listeners=tuple(_listener(observed, one) for one in observed.cluster.spec.listeners),
        etcd=_etcd(observed, plan),
        rollout=old.rollout if plan.roll is None else _rollout(observed, plan, plan.roll),
    )


def _pools(observed: ObservedCluster, plan: ClusterPlan) -> Iterator[PoolStatus]:
    membership = plan.membership
    if membership is None:
        return
    settled = {unit.number for unit in plan.units if unit.settled and not unit.outdated}
    cluster = observed.cluster.metadata.name
    names_in_spec = [pool.name for pool in observed.cluster.spec.pools]
    for name in names_in_spec:
        brokers = [broker for broker in membership.brokers if broker.pool.name == name]
        volumes = [
            volume
            for broker in brokers
            if (volume := _volume(observed, names.broker_volume(cluster, broker.id))) is not None
        ]
        yield PoolStatus(
            name=name,
            storage_size=_largest(volumes),
            storage_class_name=_storage_class(volumes),
            brokers=tuple(
                BrokerStatus(id=broker.id, zone=broker.zone, ready=broker.id in settled)
                for broker in brokers
                if _volume(observed, names.broker_volume(cluster, broker.id)) is not None
            ),
        )
    for status in observed.cluster.status.pools:
        if status.name not in names_in_spec and {b.id for b in status.brokers} & (
            membership.poolless
        ):
            yield status


def _listener(observed: ObservedCluster, listener: Listener) -> ListenerStatus:
    metadata = observed.cluster.metadata
    if listener.type == "Internal":
        host = f"{names.bootstrap_service(metadata.name)}.{metadata.namespace}.svc"
        return ListenerStatus(name=listener.name, bootstrap=f"{host}:{listener.port}")
    name = names.listener_service(metadata.name, listener.name, None)
    service = observed.find(SERVICE, name) or {}
    if listener.type == "NodePort":
        ports = (service.get("spec") or {}).get("ports") or [{}]
        port = ports[0].get("nodePort")
        return ListenerStatus(name=listener.name, bootstrap=f"<any node>:{port}" if port else None)
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    for found in balancer.get("ingress") or ():
        address = found.get("hostname") or found.get("ip")
        host = bracketed(address)
        return ListenerStatus(name=listener.name, bootstrap=f"{host}:{listener.port}")
    return ListenerStatus(name=listener.name)


def _etcd(observed: ObservedCluster, plan: ClusterPlan) -> EtcdStatus | None:
    if plan.etcd is None:
        return None
    cluster = observed.cluster.metadata.name
    members = (names.etcd_member(cluster, index) for index in range(plan.etcd.members))
    volumes = [v for member in members if (v := _volume(observed, member)) is not None]
    return EtcdStatus(
        members=plan.etcd.members,
        ready_members=plan.etcd.healthy,
        storage_size=_largest(volumes),
    )


def _rollout(observed: ObservedCluster, plan: ClusterPlan, roll: Roll) -> Rollout | None:
    hashes, moving, epoch = [], None, None
    for unit in plan.units:
        hashes.append(unit.wanted_hash)
        if not unit.outdated and not unit.settled and moving is None and roll.remaining:
            moving = unit.number
            live = observed.find(STATEFUL_SET, unit.stateful_set)
            before = annotation(live, names.EPOCH_BEFORE)
            epoch = int(before) if before is not None else None
    if not hashes:
        return observed.cluster.status.rollout
    return Rollout(
        hash=digest(hashes),
        broker=moving,
        epoch=epoch,
        remaining=roll.remaining,
        blocked_by=tuple(sentence[:1024] for sentence in roll.blocked[:20]),
    )


def _volume(observed: ObservedCluster, name: str) -> Object | None:
    return observed.find(PERSISTENT_VOLUME_CLAIM, name)


def _largest(volumes: list[Object]) -> str | None:
    sizes = [
        capacity
        for volume in volumes
        if (capacity := ((volume.get("status") or {}).get("capacity") or {}).get("storage"))
    ]
    return max(sizes, key=amount) if sizes else None


def _storage_class(volumes: list[Object]) -> str | None:
    for volume in volumes:
        found: str | None = volume["spec"].get("storageClassName")
        if found:
            return found
    return None
