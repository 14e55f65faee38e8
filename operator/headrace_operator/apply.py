"""The actions of a Cluster's plan, carried out in order by server-side apply.

A destructive one is done only to the very object that the plan saw: it is read anew right before,
and its resourceVersion goes with the request.
"""

from collections.abc import Iterable
from typing import assert_never

from headrace_operator.build import names
from headrace_operator.build.etcd import etcd_ca_secret, etcd_secret, server_names
from headrace_operator.context import Context
from headrace_operator.errors import Conflict
from headrace_operator.etcd_tending import tend
from headrace_operator.kinds import SECRET, STATEFUL_SET, Key, Kind, Object, kind_of
from headrace_operator.pki import authority_data, issue, new_authority, read_authority
from headrace_operator.plan.certificates import BACKDATED, CA_LIFE, LIFE
from headrace_operator.plan.cluster_actions import (
    AlterBrokerAddresses,
    AlterBrokerDefaults,
    Apply,
    ClusterAction,
    Defragment,
    DisarmAlarm,
    Drop,
    IssueCertificates,
    ReplaceMember,
    Restart,
)
from headrace_operator.plan.observed_cluster import ObservedCluster


async def carry_out(
    context: Context, observed: ObservedCluster, actions: Iterable[ClusterAction]
) -> None:
    """Do them all. Raises KubeError at the first that fails; the next pass sees what was done."""
    for action in actions:
        match action:
            case Apply():
                await _apply(context, action.object)
            case Restart():
                await _restart(context, action)
            case Drop():
                await _drop(context, action.key, action.uid)
            case IssueCertificates():
                await _issue(context, observed, action)
            case ReplaceMember() | Defragment() | DisarmAlarm():
                await tend(context, observed, action)
            case AlterBrokerDefaults() | AlterBrokerAddresses():
                pass  # said to the brokers, not to Kubernetes: see cluster_brokers
            case _:
                assert_never(action)


async def _apply(context: Context, obj: Object) -> None:
    _keep(context, kind_of(obj), await context.kube.apply(obj))


async def _restart(context: Context, action: Restart) -> None:
    metadata = action.object["metadata"]
    live = await context.kube.get(STATEFUL_SET, metadata["namespace"], metadata["name"])
    there = live["metadata"]
    if (there["uid"], there["resourceVersion"]) != (action.uid, action.resource_version):
        _keep(context, STATEFUL_SET, live)
        raise Conflict(f"StatefulSet {metadata['name']} changed since it was looked at")
    guarded = {**metadata, "uid": there["uid"], "resourceVersion": there["resourceVersion"]}
    await _apply(context, {**action.object, "metadata": guarded})


async def _drop(context: Context, key: Key, uid: str) -> None:
    await context.kube.delete(key.kind, key.namespace, key.name, uid=uid)


async def _issue(context: Context, observed: ObservedCluster, action: IssueCertificates) -> None:
    cluster = observed.cluster
    etcd = cluster.spec.etcd.managed
    name = names.etcd_ca(cluster.metadata.name)
    there = await context.kube.find(SECRET, cluster.metadata.namespace, name)
    former = None if there is None else read_authority(there)
    since = observed.now - BACKDATED
    authority = former
    if authority is None or action.new_ca:
        authority = new_authority(name, since, CA_LIFE, former=former)
        await _apply(context, etcd_ca_secret(cluster, authority_data(authority)))
    if etcd is None:
        return
    for secret in action.names:
        is_server = secret == names.etcd_server_certificate(cluster.metadata.name)
        hosts = server_names(cluster, etcd) if is_server else ()
        data = issue(authority, secret, hosts, since, LIFE)
        await _apply(context, etcd_secret(cluster, secret, data, owned=True))


def _keep(context: Context, kind: Kind, answer: Object) -> None:
    """Let the next pass see what was just written, though its event may be late."""
    if kind in context.store.kinds:
        context.store.put(kind, answer)
