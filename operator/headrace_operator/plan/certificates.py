"""When the certificates of a managed etcd are made and renewed. Pure.

etcd reads its certificate again at each handshake and brokers read theirs when they connect, so a
renewal restarts nothing. A CA's successor has the same key: what the old one signed stays good.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from headrace_operator.build import names
from headrace_operator.build.etcd import server_names
from headrace_operator.crd.etcd import ManagedEtcd
from headrace_operator.plan.cluster_actions import IssueCertificates
from headrace_operator.plan.observed_cluster import Certificate, ObservedCluster

CA_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=365)
RENEW_AT: Final = 2 / 3
"""Of its life: a certificate is renewed with a third of it, four months, left."""
BACKDATED: Final = timedelta(hours=1)
"""A new certificate counts from before now, for nodes whose clocks are behind."""


def plan_certificates(observed: ObservedCluster, etcd: ManagedEtcd) -> IssueCertificates | None:
    """The certificates to issue now, if any."""
    if lost_ca(observed) is not None:
        return None
    name = observed.cluster.metadata.name
    ca = observed.certificates.get(names.etcd_ca(name))
    new_ca = ca is None or _is_old(ca, observed)
    due = tuple(_due(observed, etcd))
    return IssueCertificates(new_ca=new_ca, names=due) if new_ca or due else None


def lost_ca(observed: ObservedCluster) -> str | None:
    """The sentence for a CA that is gone though certificates of it are in use."""
    name = observed.cluster.metadata.name
    leaves = (names.etcd_server_certificate(name), names.etcd_client_certificate(name))
    if observed.ca_key or not any(leaf in observed.certificates for leaf in leaves):
        return None
    return (
        f"Secret {names.etcd_ca(name)} with etcd's CA is gone, so certificates cannot be renewed:"
        f" put it back from a backup; or delete the Secrets {leaves[0]} and {leaves[1]} to have"
        " all made anew, and then the pods of etcd, which trust the new CA only from their start."
    )


def _due(observed: ObservedCluster, etcd: ManagedEtcd) -> Iterator[str]:
    name = observed.cluster.metadata.name
    wanted = {
        names.etcd_server_certificate(name): frozenset(server_names(observed.cluster, etcd)),
        names.etcd_client_certificate(name): frozenset[str](),
    }
    for secret, hosts in wanted.items():
        there = observed.certificates.get(secret)
        if (
            there is None
            or _is_old(there, observed)
            or not hosts <= there.hosts
            or there.issuer != observed.ca_key
        ):
            yield secret


def _is_old(certificate: Certificate, observed: ObservedCluster) -> bool:
    life = certificate.not_after - certificate.not_before
    return observed.now >= certificate.not_before + life * RENEW_AT
