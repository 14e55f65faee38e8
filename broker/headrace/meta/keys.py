"""The schema: which keys stand under a cluster's prefix and what their values say.

Values are JSON objects with a format number "v"; a newer format than ours stops the reader
loudly. A topic's partitions are written before `topics/<name>` and its number of partitions
stands there, so a topic appears whole or not at all. Deleting moves `topics/<name>` to
`deleting/<topic id>` in one transaction: the name is free at once, and whoever is controller
finishes the removal.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote
from uuid import UUID

from headrace.base.image import BrokerState, Endpoint, PartitionState, QuotaEntity

FORMAT: Final = 1


class UnknownFormat(Exception):
    """A value of a newer Headrace, or of none; the key and the format are named."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys under `prefix`, which ends in "/"."""

    prefix: str = "/headrace/local/"

    @property
    def cluster(self) -> str:
        return self.prefix + "cluster"

    @property
    def controller(self) -> str:
        return self.prefix + "controller"

    @property
    def producer_ids(self) -> str:
        return self.prefix + "producer-ids"

    def broker(self, broker_id: int) -> str:
        return f"{self.prefix}brokers/{broker_id}"

    def topic(self, name: str) -> str:
        return f"{self.prefix}topics/{name}"

    def deleting(self, topic_id: UUID) -> str:
        return f"{self.prefix}deleting/{topic_id}"

    def partition(self, topic_id: UUID, index: int) -> str:
        return f"{self.prefix}partitions/{topic_id}/{index}"

    def settings(self, resource: str, name: str) -> str:
        return f"{self.prefix}configs/{resource}/{quote(name, safe='')}"

    def feature(self, name: str) -> str:
        return f"{self.prefix}features/{name}"

    def quota(self, entity: QuotaEntity) -> str:
        """Ends in user=alice/client-id=app; a default is the kind alone: user/client-id=app."""
        names = (kind if n is None else f"{kind}={quote(n, safe='')}" for kind, n in entity)
        return f"{self.prefix}quotas/{'/'.join(names)}"

    def parts(self, key: str) -> tuple[str, ...]:
        """A key below the prefix as its names: ("topics", "t"), ("partitions", id, n)."""
        kind, _, rest = key[len(self.prefix) :].partition("/")
        if kind == "partitions":
            return (kind, *rest.split("/"))
        if kind == "configs":
            resource, _, name = rest.partition("/")
            return (kind, resource, unquote(name))
        return (kind, rest) if rest else (kind,)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicValue:
    """`topics/<name>` and `deleting/<topic id>`."""

    name: str
    topic_id: UUID
    partition_count: int
    settings: Mapping[str, str]


def encode(fields: Mapping[str, Any]) -> bytes:
    """A value of our format."""
    return json.dumps({"v": FORMAT, **fields}, separators=(",", ":")).encode()


def decode(key: str, value: bytes) -> dict[str, Any]:
    """The fields of a value. Raises UnknownFormat."""
    try:
        fields: dict[str, Any] = json.loads(value)
        newer = fields["v"] > FORMAT
    except (ValueError, TypeError, KeyError):
        raise UnknownFormat(
            f"the metadata key {key} holds no value of Headrace's: put back what stood there; "
            "nothing was changed."
        ) from None
    if newer:
        raise UnknownFormat(
            f"the metadata key {key} has format {fields['v']}, and this Headrace knows up to "
            f"{FORMAT}: start the newer one; nothing was changed."
        )
    return fields


def encode_topic(topic: TopicValue) -> bytes:
    return encode(
        {
            "name": topic.name,
            "id": str(topic.topic_id),
            "partitions": topic.partition_count,
            "settings": dict(topic.settings),
        }
    )


def decode_topic(key: str, value: bytes) -> TopicValue:
    fields = decode(key, value)
    return TopicValue(
        name=fields["name"],
        topic_id=UUID(fields["id"]),
        partition_count=fields["partitions"],
        settings=fields["settings"],
    )


def quota_entity(rest: str) -> QuotaEntity:
    """The entity of a key below "quotas/"."""
    named = (part.partition("=") for part in rest.split("/"))
    return tuple((kind, unquote(name) if equals else None) for kind, equals, name in named)


def encode_partition(partition: PartitionState) -> bytes:
    """Empty lists are left out: a hundred thousand of these are read at a start."""
    fields: dict[str, Any] = {
        "replicas": partition.replicas,
        "isr": partition.isr,
        "leader": partition.leader,
        "leader_epoch": partition.leader_epoch,
        "partition_epoch": partition.partition_epoch,
    }
    for name in ("elr", "last_known_elr", "adding", "removing"):
        if getattr(partition, name):
            fields[name] = getattr(partition, name)
    return encode(fields)


def decode_partition(key: str, value: bytes, revision: int) -> PartitionState:
    fields = decode(key, value)
    return PartitionState(
        replicas=tuple(fields["replicas"]),
        isr=tuple(fields["isr"]),
        leader=fields["leader"],
        leader_epoch=fields["leader_epoch"],
        partition_epoch=fields["partition_epoch"],
        elr=tuple(fields.get("elr", ())),
        last_known_elr=tuple(fields.get("last_known_elr", ())),
        adding=tuple(fields.get("adding", ())),
        removing=tuple(fields.get("removing", ())),
        revision=revision,
    )


def encode_broker(broker: BrokerState) -> bytes:
    fields: dict[str, Any] = {
        "incarnation": str(broker.incarnation),
        "endpoints": [[e.listener, e.host, e.port] for e in broker.endpoints],
        "rack": broker.rack,
        "token": broker.token,
    }
    if broker.continues is not None:
        fields["continues"] = broker.continues
    return encode(fields)


def decode_broker(key: str, value: bytes, broker_id: int, epoch: int) -> BrokerState:
    fields = decode(key, value)
    return BrokerState(
        broker_id=broker_id,
        epoch=epoch,
        incarnation=UUID(fields["incarnation"]),
        endpoints=tuple(Endpoint(listener=n, host=h, port=p) for n, h, p in fields["endpoints"]),
        rack=fields["rack"],
        continues=fields.get("continues"),
        token=fields.get("token", ""),
    )
