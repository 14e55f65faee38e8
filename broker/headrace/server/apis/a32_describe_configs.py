"""DescribeConfigs v1-v4. Behaviour: topics, brokers (one, or "" for what all share), broker
loggers, groups and client metrics, with sources, synonyms, types and documentation.

Skipped: DescribeConfigs lists a group's settings as none: Kafka's belong to KIP-848, share and
streams groups, which are not here yet.
Skipped: DescribeConfigs lists only the broker and topic keys that CONFIG.md has; keys of Kafka
that would do nothing here (threads, tiered storage, throttles) are unknown.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.config.describe import (
    Described,
    Source,
    describe_broker,
    describe_cluster_default,
    describe_topic,
)
from headrace.core.controller import check_topic_name
from headrace.core.resources import BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC, check_node
from headrace.server import logs
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_KNOWN = {TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP}


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The settings of each resource."""
    with_docs = getattr(request, "include_documentation", False)
    odd = next((r for r in request.resources if r.resource_type not in _KNOWN), None)
    results = []
    once = {(r.resource_type, r.resource_name): r for r in request.resources}
    for resource in once.values():
        found: list[Fields] | Refusal
        if odd is not None:
            found = Refusal(
                Code.INVALID_REQUEST,
                f"Unexpected resource type {odd.resource_type} for resource {odd.resource_name}",
            )
        elif resource.resource_type == BROKER_LOGGER:
            found = _loggers(broker, resource.resource_name)
        else:
            described = _describe(broker, resource.resource_type, resource.resource_name)
            if isinstance(described, Refusal):
                found = described
            else:
                found = [_entry(d, request.include_synonyms, with_docs) for d in described]
        results.append(_result(resource, found))
    return {"results": results}


def _result(resource: Any, found: list[Fields] | Refusal) -> Fields:
    keys = resource.configuration_keys
    refusal, entries = (found, []) if isinstance(found, Refusal) else (None, found)
    return {
        "error_code": Code.NONE if refusal is None else refusal.code,
        "error_message": "" if refusal is None else refusal.message,
        "resource_type": resource.resource_type,
        "resource_name": resource.resource_name,
        "configs": [entry for entry in entries if not keys or entry["name"] in keys],
    }


def _describe(broker: "Broker", kind: int, name: str) -> Iterable[Described] | Refusal:
    layers = broker.metadata.layers
    if kind == TOPIC:
        topic = broker.metadata.image.topics.get(name)
        if topic is not None:
            return describe_topic(layers, topic.settings)
        return check_topic_name(name) or Refusal(
            Code.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist."
        )
    if kind == BROKER:
        if not name:
            return describe_cluster_default(layers)
        refusal = check_node(name, broker.node_id, "Broker id", " or empty string")
        return refusal or describe_broker(layers)
    if not name:
        what = "Group name" if kind == GROUP else "Client metrics subscription name"
        return Refusal(Code.INVALID_REQUEST, f"{what} must not be empty")
    return ()


def _loggers(broker: "Broker", name: str) -> list[Fields] | Refusal:
    if not name:
        return Refusal(Code.INVALID_REQUEST, "Broker id must not be empty")
    refusal = check_node(name, broker.node_id, "Broker id")
    if refusal is not None:
        return refusal
    return [
        {
            "name": logger,
            "value": logs.level_of(logger),
            "read_only": False,
            "config_source": Source.LOGGER,
            "is_sensitive": False,
            "synonyms": [],
            "config_type": 0,
            "documentation": None,
        }
        for logger in (logs.ROOT, *logs.LOGGERS)
    ]


def _entry(described: Described, with_synonyms: bool, with_docs: bool) -> Fields:
    return {
        "name": described.name,
        "value": described.value,
        "read_only": described.read_only,
        "config_source": described.source,
        "is_sensitive": False,
        "synonyms": [
            {"name": s.name, "value": s.value, "source": s.source} for s in described.synonyms
        ]
        if with_synonyms
        else [],
        "config_type": described.kind,
        "documentation": described.doc if with_docs else None,
    }
