"""What a setting is, where its value comes from, and what else could give it (KIP-226, KIP-569).

Pure; DescribeConfigs and CreateTopics answer from it. The order of sources and the rule for
synonyms are Kafka's (ConfigHelper), its quirk included: a topic key whose own broker key has no
value shows DEFAULT_CONFIG even where another unit (log.retention.hours) sets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from headrace.config.key import Key, Kind, Update, text_of
from headrace.config.table import broker_keys, broker_settings
from headrace.config.topic import LOG_FIELDS, TOPIC_KEYS, log_settings


class Source(IntEnum):
    """Where a value comes from, as DescribeConfigs numbers it."""

    TOPIC = 1
    BROKER = 2
    BROKER_DEFAULT = 3
    STATIC = 4
    DEFAULT = 5
    LOGGER = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A broker's explicit settings as texts by canonical key: dynamic over static."""

    broker: Mapping[str, str] = field(default_factory=dict)
    cluster: Mapping[str, str] = field(default_factory=dict)
    static: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Synonym:
    """A key that could give the value, the strongest first."""

    name: str
    value: str | None
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One setting as it is now."""

    name: str
    value: str | None
    kind: Kind
    source: Source
    read_only: bool
    synonyms: tuple[Synonym, ...]
    doc: str


def describe_topic(layers: Layers, overrides: Mapping[str, str]) -> tuple[Described, ...]:
    """Every setting of a topic, sorted."""
    settings = log_settings(
        broker_settings(layers.static, layers.cluster, layers.broker), overrides
    )
    found = []
    for name, key in LOG_FIELDS.items():
        value = text_of(getattr(settings, name))
        synonyms = _synonyms(key.broker[0].name, layers)
        if key.name in overrides:
            synonyms = (Synonym(key.name, value, Source.TOPIC), *synonyms)
        found.append(_described(key, value, synonyms, read_only=False))
    return tuple(sorted(found, key=lambda described: described.name))


def describe_broker(layers: Layers) -> tuple[Described, ...]:
    """Every setting of one broker, sorted."""
    explicit = {**layers.static, **layers.cluster, **layers.broker}
    return tuple(
        _described(
            key,
            text_of(key.parse(explicit[name]) if name in explicit else key.default),
            _synonyms(name, layers),
            read_only=key.update is Update.READ_ONLY,
        )
        for name, key in broker_keys().items()
    )


def describe_cluster_default(layers: Layers) -> tuple[Described, ...]:
    """The dynamic settings of all brokers: only those that are set."""
    return tuple(
        _described(
            broker_keys()[name],
            text,
            (Synonym(name, text, Source.BROKER_DEFAULT),),
            read_only=False,
        )
        for name, text in sorted(layers.cluster.items())
        if name in broker_keys()
    )


def _described(
    key: Key, value: str | None, synonyms: tuple[Synonym, ...], *, read_only: bool
) -> Described:
    return Described(
        name=key.name,
        value=value,
        kind=key.kind,
        source=synonyms[0].source if synonyms else Source.DEFAULT,
        read_only=read_only,
        synonyms=synonyms,
        doc=key.doc,
    )


_SAME_VALUE: Final = {
    broker.name: tuple(other.name for other in key.broker)
    for key in TOPIC_KEYS.values()
    for broker in key.broker
}


def _synonyms(name: str, layers: Layers) -> tuple[Synonym, ...]:
    names = _SAME_VALUE.get(name, (name,))
    found = [
        Synonym(other, texts[other], source)
        for source, texts in (
            (Source.BROKER, layers.broker),
            (Source.BROKER_DEFAULT, layers.cluster),
            (Source.STATIC, layers.static),
        )
        for other in names
        if other in texts
    ]
    found += [
        Synonym(other, text, Source.DEFAULT)
        for other in names
        if (text := text_of(broker_keys()[other].default)) is not None
    ]
    while found and found[0].name != name:
        found.pop(0)
    return tuple(found)
