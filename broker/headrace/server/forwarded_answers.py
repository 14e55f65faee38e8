"""Answers of requests that go to the controller: refused whole, and whether anything was done."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from headrace.base.errors import Code, Refusal
from headrace.server.outcome import outcome
from headrace.wire.versions import (
    ALTER_CLIENT_QUOTAS,
    ALTER_CONFIGS,
    ALTER_PARTITION_REASSIGNMENTS,
    CREATE_PARTITIONS,
    CREATE_TOPICS,
    DELETE_TOPICS,
    ELECT_LEADERS,
    INCREMENTAL_ALTER_CONFIGS,
    UPDATE_FEATURES,
)

Fields = Mapping[str, Any]


def nothing_was_done(fields: Fields) -> bool:
    """Whether a controller refused for not being it any more, and did no part of the request."""
    codes = set(_codes(fields))
    return Code.NOT_CONTROLLER in codes and Code.NONE not in codes


def _codes(fields: Fields) -> Iterator[int]:
    """The codes of the innermost items that have one."""
    inner = [
        code
        for value in fields.values()
        if isinstance(value, list)
        for item in value
        if isinstance(item, Mapping)
        for code in _codes(item)
    ]
    if inner:
        yield from inner
    elif "error_code" in fields:
        yield int(fields["error_code"])


def refused(api_key: int, request: Any, refusal: Refusal) -> Fields:
    """The answer that refuses everything that was asked for."""
    return _REFUSED[api_key](request, outcome(refusal))


def _topics(request: Any, why: Fields) -> Fields:
    return {
        "topics": [
            {"name": item.name, "topic_id": None, "configs": [], **why} for item in request.topics
        ]
    }


def _deletions(request: Any, why: Fields) -> Fields:
    if hasattr(request, "topic_names"):
        asked = [(name, None) for name in request.topic_names]
    else:
        asked = [(topic.name, topic.topic_id) for topic in request.topics]
    return {"responses": [{"name": name, "topic_id": number, **why} for name, number in asked]}


def _resources(request: Any, why: Fields) -> Fields:
    return {
        "responses": [
            {"resource_type": r.resource_type, "resource_name": r.resource_name, **why}
            for r in request.resources
        ]
    }


def _partitions(request: Any, why: Fields) -> Fields:
    return {"results": [{"name": topic.name, **why} for topic in request.topics]}


def _elections(_request: Any, why: Fields) -> Fields:
    return {"error_code": why["error_code"], "replica_election_results": []}


def _reassignments(_request: Any, why: Fields) -> Fields:
    return {"allow_replication_factor_change": True, **why, "responses": []}


def _features(_request: Any, why: Fields) -> Fields:
    return {**why, "results": []}


def _quotas(request: Any, why: Fields) -> Fields:
    return {
        "entries": [
            {
                **why,
                "entity": [
                    {"entity_type": e.entity_type, "entity_name": e.entity_name}
                    for e in entry.entity
                ],
            }
            for entry in request.entries
        ]
    }


_REFUSED: Final[Mapping[int, Callable[[Any, Fields], Fields]]] = {
    CREATE_TOPICS: _topics,
    DELETE_TOPICS: _deletions,
    ALTER_CONFIGS: _resources,
    INCREMENTAL_ALTER_CONFIGS: _resources,
    CREATE_PARTITIONS: _partitions,
    ELECT_LEADERS: _elections,
    ALTER_PARTITION_REASSIGNMENTS: _reassignments,
    UPDATE_FEATURES: _features,
    ALTER_CLIENT_QUOTAS: _quotas,
}
