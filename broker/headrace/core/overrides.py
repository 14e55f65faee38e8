"""Changing the dynamic settings of a topic or of brokers (KIP-226, KIP-339): pure decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.base.errors import Code, Refusal
from headrace.config.broker import BrokerSettings
from headrace.config.key import Key, Kind, SettingError, Update, text_of
from headrace.config.table import broker_keys, broker_settings
from headrace.config.topic import log_settings

SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
CLUSTER_DEFAULT: Final = ""
"""The name of the resource that holds the settings of all brokers."""


@dataclass(frozen=True, slots=True)
class Change:
    """One operation on one key; a DELETE has no value."""

    name: str
    value: str | None
    operation: int = SET


def check_changes(changes: Sequence[Change]) -> Refusal | None:
    """What is wrong with the operations whatever they are about, or None."""
    names = [change.name for change in changes]
    if len(set(names)) < len(names):
        return Refusal(Code.INVALID_REQUEST, "Error due to duplicate config keys")
    empty = [c.name for c in changes if c.value is None and c.operation != DELETE]
    if empty:
        return Refusal(Code.INVALID_REQUEST, f"Null value not supported for : {', '.join(empty)}")
    if any(not SET <= change.operation <= SUBTRACT for change in changes):
        return Refusal(Code.INVALID_REQUEST, "Unknown operation type")
    return None


def altered(
    current: Mapping[str, str],
    changes: Sequence[Change],
    keys: Mapping[str, Key],
) -> dict[str, str] | Refusal:
    """`current` after the changes. An APPEND where nothing is set starts from the default."""
    result = dict(current)
    for change in changes:
        value, name = change.value, change.name
        if change.operation == DELETE or value is None:
            result.pop(name, None)
        elif change.operation == SET:
            result[name] = value
        else:
            key = keys.get(name)
            if key is None or key.kind is not Kind.LIST:
                return Refusal(
                    Code.INVALID_CONFIG,
                    f"Can't {'APPEND' if change.operation == APPEND else 'SUBTRACT'} to key "
                    f"{name} because its type is not LIST.",
                )
            before = result.get(name, text_of(key.default) or "")
            items = [item for item in before.split(",") if item]
            given = value.split(",")
            if change.operation == APPEND:
                items += [item for item in dict.fromkeys(given) if item not in items]
            else:
                items = [item for item in items if item not in given]
            result[name] = ",".join(items)
    return result


def check_topic_settings(broker: BrokerSettings, overrides: Mapping[str, str]) -> None:
    """Raises SettingError where a topic cannot have these settings."""
    settings = log_settings(broker, overrides)
    low, high = settings.min_compaction_lag_ms, settings.max_compaction_lag_ms
    if low > high:
        raise SettingError(
            "min.compaction.lag.ms", str(low), f"it must not exceed max.compaction.lag.ms={high}"
        )


def refuse_topic(broker: BrokerSettings, overrides: Mapping[str, str]) -> Refusal | None:
    """The same as a refusal."""
    try:
        check_topic_settings(broker, overrides)
    except SettingError as error:
        return Refusal(Code.INVALID_CONFIG, str(error))
    return None


def refuse_broker(
    static: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str], name: str
) -> Refusal | None:
    """Why brokers cannot take `after`; `name` is "" for all of them, or one broker's id.

    What stood there before is not held against the change.
    """
    for key_name in after:
        key = broker_keys().get(key_name)
        if key is None:
            return Refusal(Code.INVALID_REQUEST, f"Unknown dynamic broker config: {key_name}")
        if before.get(key_name) == after[key_name]:
            continue
        if key.update is Update.READ_ONLY:
            return Refusal(
                Code.INVALID_REQUEST, f"Cannot update these configs dynamically: {key_name}"
            )
        if key.update is Update.PER_BROKER and name == CLUSTER_DEFAULT:
            return Refusal(
                Code.INVALID_REQUEST,
                f"Cannot update these per-broker configs at the cluster level: {key_name}",
            )
    try:
        broker_settings(static, after)
    except SettingError as error:
        return Refusal(Code.INVALID_REQUEST, str(error))
    return None
