"""What AlterConfigs and IncrementalAlterConfigs share: checks in Kafka's order, then the write."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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

if TYPE_CHECKING:
    from headrace.server.broker import Broker

Decision = Callable[[Mapping[str, str]], Mapping[str, str] | Refusal]


def refuse_twice(resources: Iterable[Any]) -> dict[tuple[int, str], Refusal]:
    """Resources that one request names more than once."""
    times = Counter((r.resource_type, r.resource_name) for r in resources)
    refusal = Refusal(Code.INVALID_REQUEST, "Each resource must appear at most once.")
    return {where: refusal for where, count in times.items() if count > 1}


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
