"""Quotas from outside (KIP-546). Each function takes the Cluster and raises ClientError."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.client.cluster import Cluster
from headrace.client.errors import check
from headrace.wire.versions import ALTER_CLIENT_QUOTAS, DESCRIBE_CLIENT_QUOTAS

KINDS: Final = ("user", "client-id", "ip")

Entity = Mapping[str, str | None]
"""Kind to name, None for the default of that kind: {"user": "alice", "client-id": None}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """One entity's quotas by Kafka's keys."""

    entity: Entity
    values: Mapping[str, float]


async def list_quotas(cluster: Cluster) -> list[Quotas]:
    """Every entity that has quotas, in the order of its kinds and names."""
    answer = await cluster.request(DESCRIBE_CLIENT_QUOTAS, {"components": [], "strict": False})
    check(answer.error_code, "Listing quotas", answer.error_message)
    found = [
        Quotas(
            entity={e.entity_type: e.entity_name for e in entry.entity},
            values={v.key: v.value for v in entry.values},
        )
        for entry in answer.entries or ()
    ]
    return sorted(found, key=lambda q: [(kind, name or "") for kind, name in q.entity.items()])


async def alter_quotas(
    cluster: Cluster,
    entity: Entity,
    *,
    set_to: Mapping[str, float] | None = None,
    remove: Sequence[str] = (),
    validate_only: bool = False,
) -> None:
    """Set some quotas of an entity and remove others; the rest stays as it is."""
    ops = [{"key": k, "value": v, "remove": False} for k, v in (set_to or {}).items()]
    ops += [{"key": k, "value": 0.0, "remove": True} for k in remove]
    named = [{"entity_type": kind, "entity_name": name} for kind, name in entity.items()]
    fields = {"entries": [{"entity": named, "ops": ops}], "validate_only": validate_only}
    answer = (await cluster.request(ALTER_CLIENT_QUOTAS, fields)).entries[0]
    check(answer.error_code, f"Changing the quotas of {shown(entity)}", answer.error_message)


def shown(entity: Entity) -> str:
    """An entity for people: user alice, client-id (default)."""
    return ", ".join(
        f"{kind} {'(default)' if name is None else name}" for kind, name in entity.items()
    )
