"""Requests about settings of topics and of all brokers together. Raises ClientError."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.base.errors import Code, Refusal
from headrace.client.cluster import Cluster
from headrace.wire.versions import DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS

from headrace_operator.admin.outcome import refusal_of

TOPIC: Final = 2
BROKER: Final = 4
ALL_BROKERS: Final = ""
"""The broker resource that holds what is set for all of them."""

_SET, _DELETE = 0, 1
_TOPIC_SOURCE, _ONE_BROKER_SOURCE, _ALL_BROKERS_SOURCE = 1, 2, 3
"""The source of values that were set on the resource itself (KIP-226)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChange:
    """What to set and what to reset to its default, on one topic or on all brokers."""

    kind: int
    name: str
    set_to: Mapping[str, str]
    reset: frozenset[str]


async def describe_settings(
    cluster: Cluster,
    kind: int,
    asked: Mapping[str, frozenset[str] | None],
    *,
    lane: str,
    node_id: int | None = None,
) -> dict[str, Mapping[str, str] | Refusal]:
    """The settings that are set on each resource itself, of those asked for (None: all)."""
    fields = {
        "resources": [
            {
                "resource_type": kind,
                "resource_name": name,
                "configuration_keys": None if keys is None else sorted(keys),
            }
            for name, keys in asked.items()
        ],
        "include_synonyms": False,
        "include_documentation": False,
    }
    answer = await cluster.request(DESCRIBE_CONFIGS, fields, lane=lane, node_id=node_id)
    found: dict[str, Mapping[str, str] | Refusal] = {}
    for result in answer.results:
        refusal = refusal_of(result.error_code, result.error_message)
        found[result.resource_name] = refusal or {
            config.name: config.value
            for config in result.configs
            if config.config_source == _source(kind, result.resource_name)
            and config.value is not None
        }
    return found


def _source(kind: int, name: str) -> int:
    if kind == TOPIC:
        return _TOPIC_SOURCE
    return _ALL_BROKERS_SOURCE if name == ALL_BROKERS else _ONE_BROKER_SOURCE


async def alter_settings(
    cluster: Cluster, changes: Sequence[SettingsChange], *, node_id: int | None = None
) -> list[Refusal | None]:
    """Make each change; settings that it does not name stay as they are (KIP-339)."""
    fields = {
        "resources": [
            {
                "resource_type": change.kind,
                "resource_name": change.name,
                "configs": [
                    *(
                        {"name": k, "config_operation": _SET, "value": v}
                        for k, v in change.set_to.items()
                    ),
                    *(
                        {"name": k, "config_operation": _DELETE, "value": None}
                        for k in sorted(change.reset)
                    ),
                ],
            }
            for change in changes
        ],
        "validate_only": False,
    }
    answer = await cluster.request(INCREMENTAL_ALTER_CONFIGS, fields, node_id=node_id)
    outcomes = {
        (result.resource_type, result.resource_name): refusal_of(
            result.error_code, result.error_message
        )
        for result in answer.responses
    }
    absent = Refusal(Code.UNKNOWN_SERVER_ERROR, "the broker's answer does not speak of it")
    return [outcomes.get((change.kind, change.name), absent) for change in changes]
