"""What the members of a managed etcd say to a client with a certificate: sizes, and who counts.

What is not said is absent: nothing is concluded from it.
"""

import asyncio
from dataclasses import replace

from headrace_operator import etcd_api
from headrace_operator.build import names
from headrace_operator.build.broker import ETCD_PORT
from headrace_operator.etcd_api import EtcdFault, EtcdMember
from headrace_operator.kinds import SECRET
from headrace_operator.plan.etcd_state import etcd_state
from headrace_operator.plan.observed_cluster import ListedMember, ObservedCluster


async def ask_etcd(observed: ObservedCluster) -> ObservedCluster:
    """The observation with what a client may know, of those members that are up.

    Whom etcd counts is only asked where a volume is gone: no other plan depends on it.
    """
    etcd = observed.cluster.spec.etcd.managed
    secret = observed.find(SECRET, names.etcd_client_certificate(observed.cluster.metadata.name))
    if etcd is None or secret is None or not observed.members:
        return observed
    try:
        context = etcd_api.tls(secret)
    except (KeyError, ValueError, OSError):
        return observed
    members = {index: member(observed, index) for index in observed.members}
    sizes = await asyncio.gather(
        *(etcd_api.size(one, context) for one in members.values()), return_exceptions=True
    )
    told = {n: s for n, s in zip(members, sizes, strict=True) if not isinstance(s, BaseException)}
    observed = replace(observed, etcd_sizes=told)
    if not etcd_state(observed, etcd).lost:
        return observed
    counted: tuple[ListedMember, ...] | None = None
    for index in told:
        try:
            counted = await etcd_api.listed(members[index], context)
            break
        except EtcdFault:
            continue
    return replace(observed, etcd_listed=counted)


def member(observed: ObservedCluster, index: int) -> EtcdMember:
    """Where a member is whose pod has an address."""
    metadata = observed.cluster.metadata
    return EtcdMember(
        address=observed.etcd_addresses[index],
        host=names.etcd_host(metadata.name, metadata.namespace, index),
        port=ETCD_PORT,
    )
