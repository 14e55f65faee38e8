"""The actions of a plan that change a managed etcd itself.

Before a member is taken out everything that spoke for it is looked at anew: its volume is still
gone, the others are well, and etcd counts the very members that the plan saw.
"""

import ssl
from typing import Final

import structlog

from headrace_operator import etcd_api
from headrace_operator.build import names
from headrace_operator.build.protection import ETCD_METRICS_PORT
from headrace_operator.context import Context
from headrace_operator.errors import Conflict
from headrace_operator.kinds import PERSISTENT_VOLUME_CLAIM, SECRET
from headrace_operator.observe.etcd import member
from headrace_operator.observe.http import read_members
from headrace_operator.plan.cluster_actions import (
    Defragment,
    DisarmAlarm,
    EtcdAction,
    ReplaceMember,
)
from headrace_operator.plan.observed_cluster import ObservedCluster

_LOG: Final = structlog.get_logger("headrace.operator.etcd")


async def tend(context: Context, observed: ObservedCluster, action: EtcdAction) -> None:
    """Do it. Raises Conflict where things are not as they were, EtcdFault where etcd failed."""
    metadata = observed.cluster.metadata
    secret = await context.kube.get(
        SECRET, metadata.namespace, names.etcd_client_certificate(metadata.name)
    )
    _LOG.warning("etcd_is_tended", cluster=f"{metadata.namespace}/{metadata.name}", does=action)
    tls = etcd_api.tls(secret)
    match action:
        case ReplaceMember():
            await _replace(context, observed, action, tls)
        case Defragment(index=index):
            await etcd_api.defragment(member(observed, index), tls)
        case DisarmAlarm():
            await etcd_api.disarm(member(observed, min(observed.etcd_addresses)), tls)


async def _replace(
    context: Context, observed: ObservedCluster, action: ReplaceMember, tls: ssl.SSLContext
) -> None:
    metadata = observed.cluster.metadata
    volume = names.etcd_member(metadata.name, action.index)
    if await context.kube.find(PERSISTENT_VOLUME_CLAIM, metadata.namespace, volume) is not None:
        raise Conflict(f"volume {volume} is back")
    others = {n: host for n, host in observed.etcd_addresses.items() if n != action.index}
    health = await read_members(others, port=ETCD_METRICS_PORT)
    etcd = observed.cluster.spec.etcd.managed
    wanted = 0 if etcd is None else etcd.members - 1
    if sum(one.healthy for one in health.values()) != wanted:
        raise Conflict("another member of etcd does not answer any more")
    asked = member(observed, min(others))
    counted = await etcd_api.listed(asked, tls)
    if sorted(one.id for one in counted) != sorted(one.id for one in observed.etcd_listed or ()):
        raise Conflict("etcd counts other members than it did")
    if action.former is not None:
        await etcd_api.remove(asked, tls, action.former)
    await etcd_api.add(asked, tls, action.peer_url)
