"""What consumers put into a classic group: subscriptions and assignments, opaque to brokers.

Each begins with its version (int16). A newer version is read as the newest known one: fields are
only ever added behind. Source: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from headrace.wire import decode, encode
from headrace.wire.framing import ProtocolError
from headrace.wire.primitive import INT16

PROTOCOL_TYPE: Final = "consumer"
_NEWEST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a member asks for. `owned` are its partitions by topic (KIP-429)."""

    topics: tuple[str, ...]
    user_data: bytes | None = None
    owned: Mapping[str, tuple[int, ...]]
    generation_id: int = -1
    rack_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a member gets: partitions by topic."""

    partitions: Mapping[str, tuple[int, ...]]
    user_data: bytes | None = None


def read_subscription(data: bytes) -> Subscription:
    """Raises ProtocolError."""
    entity = _read("consumer_protocol_subscription", data)
    return Subscription(
        topics=entity.topics,
        user_data=entity.user_data,
        owned=_by_topic(getattr(entity, "owned_partitions", ())),
        generation_id=getattr(entity, "generation_id", -1),
        rack_id=getattr(entity, "rack_id", None),
    )


def write_subscription(value: Subscription) -> bytes:
    """The newest version, as Kafka 4.3's Java client writes it."""
    fields = {
        "topics": value.topics,
        "user_data": value.user_data,
        "owned_partitions": _list(value.owned),
        "generation_id": value.generation_id,
        "rack_id": value.rack_id,
    }
    return _write("consumer_protocol_subscription", fields)


def read_assignment(data: bytes) -> Assignment:
    """Raises ProtocolError. An empty assignment is no bytes at all."""
    if not data:
        return Assignment(partitions={})
    entity = _read("consumer_protocol_assignment", data)
    return Assignment(partitions=_by_topic(entity.assigned_partitions), user_data=entity.user_data)


def write_assignment(value: Assignment) -> bytes:
    """The newest version, as Kafka 4.3's Java client writes it."""
    fields = {"assigned_partitions": _list(value.partitions), "user_data": value.user_data}
    return _write("consumer_protocol_assignment", fields)


def _by_topic(entries: Sequence[Any]) -> dict[str, tuple[int, ...]]:
    return {entry.topic: entry.partitions for entry in entries}


def _list(partitions: Mapping[str, Sequence[int]]) -> list[dict[str, object]]:
    return [{"topic": topic, "partitions": indexes} for topic, indexes in partitions.items()]


def _read(name: str, data: bytes) -> Any:
    if len(data) < INT16.size:
        raise ProtocolError(f"{len(data)} bytes do not hold a {name}")
    (version,) = INT16.unpack_from(data)
    if version < 0:
        raise ProtocolError(f"{name} version {version}")
    return decode.read(_entity(name, min(version, _NEWEST)), data, INT16.size)[0]


def _write(name: str, fields: Mapping[str, Any]) -> bytes:
    out = bytearray(INT16.pack(_NEWEST))
    encode.entity_writer(_entity(name, _NEWEST))(out, fields)
    return bytes(out)


@cache
def _entity(name: str, version: int) -> type:
    from kio.index import load_entity_schema
    from kio.static.constants import EntityType

    loaded: type = load_entity_schema(name, version, EntityType.data)
    return loaded
