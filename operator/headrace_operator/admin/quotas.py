"""Requests about client quotas, many entities each (KIP-546). Raises ClientError."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.base.errors import Code, Refusal
from headrace.client.cluster import Cluster
from headrace.wire.versions import ALTER_CLIENT_QUOTAS, DESCRIBE_CLIENT_QUOTAS

from headrace_operator.admin.outcome import refusal_of
from headrace_operator.admin.topics import LOOK
from headrace_operator.plan.quota import AlterQuota, Entity

Limits = Mapping[str, float]


async def describe_quotas(cluster: Cluster, entities: Sequence[Entity]) -> list[Limits | Refusal]:
    """The limits of each entity, empty where it has none. One request for all of them."""
    fields: dict[str, Any] = {"components": [], "strict": False}
    answer = await cluster.request(DESCRIBE_CLIENT_QUOTAS, fields, lane=LOOK)
    refusal = refusal_of(answer.error_code, answer.error_message)
    if refusal is not None:
        return [refusal for _ in entities]
    found = {
        _entity(entry.entity): {value.key: float(value.value) for value in entry.values}
        for entry in answer.entries or ()
    }
    return [found.get(entity, {}) for entity in entities]


async def alter_quotas(cluster: Cluster, changes: Sequence[AlterQuota]) -> list[Refusal | None]:
    """Set some limits of each entity and take others away."""
    fields = {
        "entries": [
            {
                "entity": [
                    {"entity_type": kind, "entity_name": name} for kind, name in change.entity
                ],
                "ops": [
                    *(
                        {"key": key, "value": value, "remove": False}
                        for key, value in change.set_to.items()
                    ),
                    *({"key": key, "value": 0.0, "remove": True} for key in sorted(change.reset)),
                ],
            }
            for change in changes
        ],
        "validate_only": False,
    }
    answer = await cluster.request(ALTER_CLIENT_QUOTAS, fields)
    outcomes = {
        _entity(entry.entity): refusal_of(entry.error_code, entry.error_message)
        for entry in answer.entries
    }
    absent = Refusal(Code.UNKNOWN_SERVER_ERROR, "the broker's answer does not speak of it")
    return [outcomes.get(change.entity, absent) for change in changes]


def _entity(parts: Sequence[Any]) -> Entity:
    return tuple(sorted((part.entity_type, part.entity_name) for part in parts))
