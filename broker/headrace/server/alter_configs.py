"""What AlterConfigs and IncrementalAlterConfigs share: checks in Kafka's order, then the write."""

import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.config.key import Key
from headrace.config.table import broker_keys
from headrace.config.topic import TOPIC_KEYS
from headrace.core.controller import check_topic_name
from headrace.core.overrides import (
    APPEND,
    DELETE,
    SUBTRACT,
    Change,
    altered,
    check_changes,
    refuse_broker,
    refuse_topic,
)
from headrace.core.resources import BROKER, CLIENT_METRICS, GROUP, TOPIC, check_node
from headrace.server import logs
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker

Decision = Callable[[Mapping[str, str]], Mapping[str, str] | Refusal]


class Done(Enum):
    """A resource that the broker that was asked has dealt with itself."""

    DONE = "done"


DONE = Done.DONE


async def alter_anywhere(
    broker: "Broker",
    api_key: int,
    request: Any,
    context: RequestContext,
    here: Callable[[Any], Awaitable[Refusal | Done | None]],
) -> Fields:
    """Each resource is refused or done `here`, or else goes to the controller; in order."""
    times = Counter((r.resource_type, r.resource_name) for r in request.resources)
    twice = Refusal(Code.INVALID_REQUEST, "Each resource must appear at most once.")
    told: list[Fields | None] = []
    for resource in request.resources:
        kind, name = resource.resource_type, resource.resource_name
        found = twice if times[kind, name] > 1 else await here(resource)
        refusal = None if found is DONE else found
        told.append(None if found is None else _response(kind, name, refusal))
    rest = [r for r, one in zip(request.resources, told, strict=True) if one is None]
    if rest:
        asked = dataclasses.replace(request, resources=tuple(rest))
        answer = await broker.forwarding.execute(api_key, asked, context)
        answers = iter(answer["responses"])
        told = [next(answers) if one is None else one for one in told]
        return {**answer, "responses": told}
    return {"responses": told}


async def alter_all(
    broker: "Broker",
    request: Any,
    changes_of: Callable[[Any], Sequence[Change]],
    *,
    replace: bool = False,
) -> Fields:
    """At the controller: change each resource, or only say whether it could be."""
    responses = []
    for resource in request.resources:
        kind, name = resource.resource_type, resource.resource_name
        changes, dry = changes_of(resource), request.validate_only
        refusal = await alter_resource(
            broker, kind, name, changes, replace=replace, validate_only=dry
        )
        responses.append(_response(kind, name, refusal))
    return {"responses": responses}


def _response(kind: int, name: str, refusal: Refusal | None) -> Fields:
    return {"resource_type": kind, "resource_name": name, **outcome(refusal)}


async def alter_own(
    broker: "Broker",
    resource: Any,
    changes: Sequence[Change],
    *,
    replace: bool = False,
    validate_only: bool,
) -> Refusal | Done | None:
    """Change this broker's own settings; None where the resource is not about one broker.

    A broker writes them itself: it alone can tell what goes with its file, and needs no controller.
    """
    kind, name = resource.resource_type, resource.resource_name
    if kind != BROKER or not name:
        return None
    refusal = await alter_resource(
        broker, kind, name, changes, replace=replace, validate_only=validate_only
    )
    return refusal or DONE


def keys_of(kind: int) -> Mapping[str, Key]:
    """The settings a resource of this kind can have."""
    return {TOPIC: TOPIC_KEYS, BROKER: broker_keys()}.get(kind, {})


async def alter_resource(
    broker: "Broker",
    kind: int,
    name: str,
    changes: Sequence[Change],
    *,
    replace: bool = False,
    validate_only: bool,
) -> Refusal | None:
    """Change one topic's or the brokers' dynamic settings; `replace` drops what is not named."""

    def decision(before: Mapping[str, str]) -> Mapping[str, str] | Refusal:
        return altered({} if replace else before, changes, keys_of(kind))

    refusal = check_changes(changes)
    if refusal is not None:
        return refusal
    if kind == TOPIC:
        return await _alter_topic(broker, name, decision, validate_only)
    if kind == BROKER:
        return await _alter_broker(broker, name, decision, validate_only)
    if kind == GROUP:
        if not name:
            return Refusal(Code.INVALID_REQUEST, "Default group resources are not allowed.")
        names = ", ".join(change.name for change in changes)
        return (
            Refusal(Code.INVALID_CONFIG, f"Unknown group config name: {names}") if names else None
        )
    if kind == CLIENT_METRICS:
        return Refusal(
            Code.INVALID_REQUEST, "Client metrics subscriptions are not available in this release."
        )
    return Refusal(Code.INVALID_REQUEST, f"Unknown resource type {kind}")


async def _alter_topic(
    broker: "Broker", name: str, decision: Decision, validate_only: bool
) -> Refusal | None:
    def decide(before: Mapping[str, str]) -> Mapping[str, str] | Refusal:
        after = decision(before)
        if isinstance(after, Refusal):
            return after
        return refuse_topic(broker.settings, after) or after

    if not name:
        return Refusal(Code.INVALID_REQUEST, "Default topic resources are not allowed.")
    refusal = check_topic_name(name)
    if refusal is None and name not in broker.metadata.image.topics:
        # Bad settings are told before the absent topic, as Kafka does it.
        decided = decide({})
        refusal = decided if isinstance(decided, Refusal) else None
    return refusal or await broker.controller.alter_topic(name, decide, validate_only=validate_only)


async def _alter_broker(
    broker: "Broker", name: str, decision: Decision, validate_only: bool
) -> Refusal | None:
    def decide(before: Mapping[str, str]) -> Mapping[str, str] | Refusal:
        after = decision(before)
        if isinstance(after, Refusal):
            return after
        return refuse_broker(broker.metadata.static, before, after, name) or after

    refusal = check_node(name, broker.node_id, "Node id") if name else None
    return refusal or await broker.controller.alter_settings(
        "broker", name, decide, validate_only=validate_only, own=bool(name)
    )


def alter_loggers(
    broker: "Broker", name: str, changes: Sequence[Change], validate_only: bool
) -> Refusal | None:
    """Change log levels of this broker (KIP-412); all of them or none. They end with the run."""
    refusal = check_changes(changes) or check_node(name, broker.node_id, "Node id")
    for change in changes:
        refusal = refusal or _refuse_logger(change)
    if refusal is None and not validate_only:
        for change in changes:
            logs.set_level(change.name, None if change.operation == DELETE else change.value)
    return refusal


def _refuse_logger(change: Change) -> Refusal | None:
    if change.operation in (APPEND, SUBTRACT):
        word = "APPEND" if change.operation == APPEND else "SUBTRACT"
        return Refusal(
            Code.INVALID_REQUEST, f"{word} operation is not allowed for the BROKER_LOGGER resource"
        )
    if change.name not in (logs.ROOT, *logs.LOGGERS):
        return Refusal(Code.INVALID_CONFIG, f"Logger {change.name} does not exist!")
    if change.operation == DELETE:
        if change.name == logs.ROOT:
            return Refusal(
                Code.INVALID_REQUEST, "Removing the log level of the root logger is not allowed"
            )
        return None
    if (change.value or "").upper() not in logs.LEVELS:
        return Refusal(
            Code.INVALID_CONFIG,
            f"Cannot set the log level of {change.name} to {change.value} as it is not a supported "
            f"log level. Valid log levels are {', '.join(logs.LEVELS)}",
        )
    return None
