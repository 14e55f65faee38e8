"""Who is limited to how much: the kinds of quota, and whose limit counts for a client.

Sources: KIP-13 (bytes), KIP-124 (share of time), KIP-257 (order of precedence), KIP-599
(mutations), KIP-612 (connections); Kafka's ClientQuotaManager and ConnectionQuotas.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from headrace.base.image import QuotaEntity
from headrace.base.units import INT32_MAX, SECOND_MS

USER: Final = "user"
CLIENT_ID: Final = "client-id"
IP: Final = "ip"

ANONYMOUS: Final = "ANONYMOUS"
"""The user of every connection while there are no others."""

Who = tuple[str, str]
"""Whose use is counted together: (user, client id), "" where all of that kind are one.

An address is ("", address)."""

_ANY_USER: Final = (USER, None)
_ANY_CLIENT: Final = (CLIENT_ID, None)
_ANY_IP: Final = (IP, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One kind of quota. `key` is Kafka's name of its value, `name` stands in metrics.

    `burst_s`: who was idle may have so many seconds' worth at once. `throttle_max_ms`: the
    longest wait that is told; what is left of the debt is told with the next request.
    """

    key: str
    name: str
    burst_s: float
    throttle_max_ms: int = INT32_MAX


# Half a second's worth and one request of up to a second's are 5 % over in 30 s, no more.
PRODUCE: Final = Quota(key="producer_byte_rate", name="produce", burst_s=0.5)
FETCH: Final = Quota(key="consumer_byte_rate", name="fetch", burst_s=0.5)
# As in Kafka no wait for time used, or for a connection, is longer than one window of 1 s.
REQUEST: Final = Quota(
    key="request_percentage", name="request", burst_s=1.0, throttle_max_ms=SECOND_MS
)
# As in Kafka the windows' eleven seconds: topics come in bursts (KIP-599).
MUTATION: Final = Quota(key="controller_mutation_rate", name="controller_mutation", burst_s=11.0)
# As Kafka's whole windows allow it: clients come back all at once.
CONNECTION: Final = Quota(
    key="connection_creation_rate", name="connection", burst_s=10.0, throttle_max_ms=SECOND_MS
)

CLIENT_QUOTAS: Final = (PRODUCE, FETCH, REQUEST, MUTATION)
"""Those of users and client ids; addresses have CONNECTION alone."""


Found = tuple[QuotaEntity, Who]
"""The entity whose limit counts, and whose use is counted under it."""


def of_client(limits: Container[QuotaEntity], user: str, client_id: str) -> Found | None:
    """What limits a client; None where nothing does.

    The most specific limit counts alone, in KIP-257's order. A client without a client id is one
    with the id ""; Kafka applies no client's default to it, and leaving the id out is a way
    around.
    """
    one_user, one_client = (USER, user), (CLIENT_ID, client_id)
    both, as_user, as_client = (user, client_id), (user, ""), ("", client_id)
    for found in (
        ((one_user, one_client), both),
        ((one_user, _ANY_CLIENT), both),
        ((one_user,), as_user),
        ((_ANY_USER, one_client), both),
        ((_ANY_USER, _ANY_CLIENT), both),
        ((_ANY_USER,), as_user),
        ((one_client,), as_client),
        ((_ANY_CLIENT,), as_client),
    ):
        if found[0] in limits:
            return found
    return None


def of_address(limits: Container[QuotaEntity], _user: str, address: str) -> Found | None:
    """What limits new connections from an address; each address is counted alone."""
    for entity in (((IP, address),), (_ANY_IP,)):
        if entity in limits:
            return entity, ("", address)
    return None
