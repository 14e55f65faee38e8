"""What to do for a Cluster. Pure: the same observation always gives the same plan.

At most one action of a plan is destructive (Restart), and once its actions are done and nothing
else has happened, the next plan is empty (tests/laws/test_plan_cluster.py).
"""

from dataclasses import dataclass

from headrace_operator.build import names
from headrace_operator.build.cluster import Rendering, render_cluster
from headrace_operator.build.facts import Facts
from headrace_operator.build.problem import Problem
from headrace_operator.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    Key,
    Object,
    key_of,
    kind_of,
)
from headrace_operator.plan.addresses import plan_addresses
from headrace_operator.plan.certificates import plan_certificates
from headrace_operator.plan.changes import quiet_changes, restart, volumes_of
from headrace_operator.plan.cluster_actions import ClusterAction, EtcdAction, ReplaceMember
from headrace_operator.plan.cluster_units import broker_unit, member_unit
from headrace_operator.plan.cluster_verdict import Standing, verdict_of
from headrace_operator.plan.defaults import plan_defaults
from headrace_operator.plan.etcd_care import plan_care
from headrace_operator.plan.etcd_state import EtcdState, etcd_state
from headrace_operator.plan.leftovers import plan_leftovers
from headrace_operator.plan.membership import Membership, members_of
from headrace_operator.plan.observed_cluster import ObservedCluster
from headrace_operator.plan.preconditions import missing_storage_class, refuse, refuse_names
from headrace_operator.plan.roll import Roll, Unit, plan_roll
from headrace_operator.plan.verdict import Verdict, reconciling, stalled


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """Actions in order, and how the Cluster stands before them."""

    actions: tuple[ClusterAction, ...] = ()
    verdict: Verdict
    membership: Membership | None = None
    units: tuple[Unit, ...] = ()
    """Its brokers that exist."""
    roll: Roll | None = None
    etcd: EtcdState | None = None


def plan_cluster(observed: ObservedCluster) -> ClusterPlan:
    """The actions for this Cluster, and the verdict that goes into its status."""
    cluster = observed.cluster
    if cluster.metadata.deletion_timestamp is not None:
        kept = "stay" if cluster.spec.reclaim_policy == "Retain" else "go with it"
        verdict = reconciling("Deleting", f"The Cluster is being deleted; its volumes {kept}.")
        return ClusterPlan(verdict=verdict)
    membership = members_of(observed)
    refused = refuse(observed, membership)
    if refused is not None:
        return ClusterPlan(verdict=refused, membership=membership)
    etcd = cluster.spec.etcd.managed
    state = None if etcd is None else etcd_state(observed, etcd)
    rendering = render_cluster(cluster, facts_of(observed, membership, state))
    if isinstance(rendering, Problem):
        verdict = stalled(rendering.reason, rendering.message)
        return ClusterPlan(verdict=verdict, membership=membership, etcd=state)
    wanted = {key_of(kind_of(obj), obj) for obj in rendering.objects()} | _secrets(observed)
    refused = refuse_names(observed, sorted(wanted, key=str))
    if refused is not None:
        return ClusterPlan(verdict=refused, membership=membership, etcd=state)
    return _plan(observed, membership, state, rendering)


def wanted_keys(observed: ObservedCluster) -> set[Key]:
    """What the plan would look for, as far as can be told from what is known by now."""
    cluster = observed.cluster
    name, namespace = cluster.metadata.name, cluster.metadata.namespace
    membership = members_of(observed)
    found: set[Key] = set()
    for broker in membership.brokers:
        set_name = names.broker_set(name, broker.pool.name, broker.id)
        found.add(Key(STATEFUL_SET, namespace, set_name))
        volume = names.broker_volume(name, broker.id)
        found.add(Key(PERSISTENT_VOLUME_CLAIM, namespace, volume))
    found |= _secrets(observed)
    rendering = render_cluster(cluster, facts_of(observed, membership, None))
    if not isinstance(rendering, Problem):
        found |= {key_of(kind_of(obj), obj) for obj in rendering.objects()}
    return found


def _secrets(observed: ObservedCluster) -> set[Key]:
    """Those of the managed etcd."""
    cluster = observed.cluster
    if cluster.spec.etcd.managed is None:
        return set()
    name = cluster.metadata.name
    secrets = (
        names.etcd_ca(name),
        names.etcd_server_certificate(name),
        names.etcd_client_certificate(name),
    )
    return {Key(SECRET, cluster.metadata.namespace, secret) for secret in secrets}


def facts_of(observed: ObservedCluster, membership: Membership, state: EtcdState | None) -> Facts:
    """What the rendering reads from the objects that exist."""
    services = {obj["metadata"]["name"]: obj for obj in observed.all_of(SERVICE)}
    ports = {name: _node_port(obj) for name, obj in services.items()}
    addresses = {name: _address(obj) for name, obj in services.items()}
    return Facts(
        broker_image=observed.surroundings.broker_image,
        etcd_image=observed.surroundings.etcd_image,
        operator_namespace=observed.surroundings.operator_namespace,
        brokers=membership.brokers,
        node_ports={name: port for name, port in ports.items() if port},
        addresses={name: address for name, address in addresses.items() if address},
        nodes=_nodes(observed),
        etcd_secret_keys=observed.etcd_secret_keys or frozenset(),
        etcd_initialized=state is not None and state.initialized,
        prometheus=observed.surroundings.prometheus,
    )


def _nodes(observed: ObservedCluster) -> dict[int, str]:
    found = {}
    for set_name, pod in observed.pods.items():
        known = names.broker_of_set(observed.cluster.metadata.name, set_name)
        if known is not None and pod.node_address:
            found[known[1]] = pod.node_address
    return found


def _plan(
    observed: ObservedCluster,
    membership: Membership,
    state: EtcdState | None,
    rendering: Rendering,
) -> ClusterPlan:
    units = [unit for b in rendering.brokers if (unit := broker_unit(observed, b)) is not None]
    members = [unit for m in rendering.members if (unit := member_unit(observed, m)) is not None]
    volumes = volumes_of(observed, rendering)
    storage_class = missing_storage_class(observed)
    etcd_roll, roll = plan_roll(members), plan_roll(units)
    settled = all(unit.settled and not unit.outdated for unit in units)
    etcd = observed.cluster.spec.etcd.managed
    care = None
    if etcd is not None and state is not None:
        care = plan_care(observed, etcd, state, members)
    first = (
        None if etcd is None else plan_certificates(observed, etcd),
        plan_defaults(rendering.dynamic, observed.defaults),
    )
    actions: list[ClusterAction] = [
        *(action for action in first if action is not None),
        *plan_addresses(observed, facts_of(observed, membership, state)),
        *quiet_changes(observed, rendering, volumes, state, make_volumes=storage_class is None),
        *_disruption(observed, rendering, etcd_roll, roll, care),
        *plan_leftovers(observed, membership, rendering, settled=settled),
    ]
    standing = Standing(
        observed=observed,
        membership=membership,
        rendering=rendering,
        units=tuple(units),
        members=tuple(members),
        roll=roll,
        etcd_roll=etcd_roll,
        etcd=state,
        care=care,
        storage_class=storage_class,
        shrinks=tuple(plan.shrinks for plan in volumes.values() if plan.shrinks is not None),
        grows=tuple(plan.grows for plan in volumes.values() if plan.grows is not None),
    )
    changing = any(not isinstance(action, EtcdAction) for action in actions)
    verdict = verdict_of(standing, changing=changing)
    if observed.cluster.spec.suspend:
        actions, verdict = [], _suspended(actions, verdict)
    return ClusterPlan(
        actions=tuple(actions),
        verdict=verdict,
        membership=membership,
        units=tuple(units),
        roll=roll,
        etcd=state,
    )


def _disruption(
    observed: ObservedCluster,
    rendering: Rendering,
    etcd_roll: Roll,
    roll: Roll,
    care: EtcdAction | None,
) -> list[ClusterAction]:
    """What may hold somebody up: one thing, a member's loss before all else."""
    if isinstance(care, ReplaceMember):
        return [care]
    found = restart(observed, rendering, etcd_roll, roll)
    return [care] if care is not None and not found else found


def _suspended(waiting: list[ClusterAction], verdict: Verdict) -> Verdict:
    if not waiting:
        return verdict
    what = "1 change waits" if len(waiting) == 1 else f"{len(waiting)} changes wait"
    return reconciling(
        "Suspended",
        f"spec.suspend is true: {what} until it is false.",
    )


def _node_port(service: Object) -> int | None:
    ports = service["spec"].get("ports") or [{}]
    port: int | None = ports[0].get("nodePort")
    return port


def _address(service: Object) -> str | None:
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    for found in balancer.get("ingress") or ():
        address = found.get("hostname") or found.get("ip")
        if address:
            return str(address)
    return None
