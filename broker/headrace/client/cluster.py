"""The way into a cluster: connections by broker, what is known of its topics, coordinators.

Producer, Consumer and Admin share one `Cluster`. Requests that wait long in the broker (fetch,
join) or must not wait behind those (produce) name a `lane`: each lane of a broker is its own
connection, because a broker answers one connection in order.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from headrace.base.errors import Code
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.client.errors import BrokerRefused, ClientError, NoSuchBroker, Unreachable, check
from headrace.client.metadata import Metadata, Partition, Topic, read_metadata
from headrace.wire.versions import FIND_COORDINATOR, METADATA

GROUP = 0
RETRY_MS = 50
RETRY_MS_MAX = 1_000


class Cluster:
    """An async context manager. Opens connections when they are first needed."""

    def __init__(
        self,
        bootstrap: Sequence[Address],
        *,
        client_id: str = "headrace",
        connect_timeout_ms: int = 5_000,
        request_timeout_ms: int = 30_000,
    ) -> None:
        self.bootstrap = tuple(bootstrap)
        self.client_id = client_id
        self.connect_timeout_ms = connect_timeout_ms
        self.request_timeout_ms = request_timeout_ms
        self.metadata = Metadata()
        self._connections: dict[tuple[int, str], Connection] = {}
        self._opening: dict[tuple[int, str], asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; what still waits fails with ConnectionLost."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    async def connection(self, node_id: int | None = None, lane: str = "") -> Connection:
        """An open connection to that broker, or to any. Raises Unreachable."""
        if node_id is None:
            return await self._any(lane)
        key = (node_id, lane)
        async with self._opening.setdefault(key, asyncio.Lock()):
            known = self._connections.get(key)
            if known is not None and not known.closed:
                return known
            if node_id not in self.metadata.brokers:
                await self.refresh(())
            broker = self.metadata.brokers.get(node_id)
            if broker is None:
                raise NoSuchBroker(f"Broker {node_id} is not in the cluster now")
            return await self._open(key, broker.address)

    async def request(
        self,
        api_key: int,
        fields: Mapping[str, Any],
        *,
        node_id: int | None = None,
        lane: str = "",
        version_max: int | None = None,
        timeout_ms: int | None = None,
    ) -> Any:
        """One request to that broker, or to any; the kio entity of its answer."""
        connection = await self.connection(node_id, lane)
        return await connection.request(
            api_key,
            fields,
            version_max=version_max,
            timeout_ms=timeout_ms or self.request_timeout_ms,
        )

    async def refresh(self, topics: Iterable[str] | None, *, create: bool = False) -> Metadata:
        """Ask for the brokers and these topics (None: all), and remember what comes back.

        `create` lets the broker make topics that do not exist, if its settings allow that.
        """
        names = None if topics is None else [{"topic_id": None, "name": t} for t in topics]
        fields = {
            "topics": names,
            "allow_auto_topic_creation": create,
            "include_topic_authorized_operations": False,
        }
        answer = await self.request(METADATA, fields)
        fresh = read_metadata(answer)
        kept = {} if topics is None else self.metadata.topics
        self.metadata = Metadata(
            cluster_id=fresh.cluster_id,
            controller_id=fresh.controller_id,
            brokers=fresh.brokers,
            topics={**kept, **fresh.topics},
        )
        return fresh

    async def topic(self, name: str, *, create: bool = False, timeout_ms: int = 10_000) -> Topic:
        """The topic, once all its partitions have leaders. Raises BrokerRefused.

        Right after its creation a topic has none for a moment, so retriable codes are waited
        out; without `create` an unknown topic is refused at once.
        """
        deadline = _now_ms() + timeout_ms
        pause_ms = RETRY_MS
        while True:
            topic = (await self.refresh((name,), create=create)).topics[name]
            codes = [topic.code, *(p.code for p in topic.partitions)]
            code = next((c for c in codes if c is not Code.NONE), Code.NONE)
            if code is Code.NONE:
                return topic
            missing = code is Code.UNKNOWN_TOPIC_OR_PARTITION and not create
            if missing or not code.retriable or _now_ms() > deadline:
                raise BrokerRefused(code, f"Topic {name!r} at {self.where}")
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(pause_ms * 2, RETRY_MS_MAX)

    async def partition(self, topic: str, index: int) -> Partition:
        """What is known of the partition, asking only if nothing is. Raises BrokerRefused."""
        known = self.metadata.topics.get(topic)
        if known is None or known.code is not Code.NONE:
            known = await self.topic(topic)
        if not 0 <= index < len(known.partitions):
            raise BrokerRefused(
                Code.UNKNOWN_TOPIC_OR_PARTITION,
                f"Partition {index} of topic {topic!r} at {self.where}",
                f"the topic has {len(known.partitions)}, numbered from 0",
            )
        return known.partitions[index]

    def forget(self, topic: str) -> None:
        """The next use of the topic asks again: its leader was wrong."""
        self.metadata = Metadata(
            cluster_id=self.metadata.cluster_id,
            controller_id=self.metadata.controller_id,
            brokers=self.metadata.brokers,
            topics={n: t for n, t in self.metadata.topics.items() if n != topic},
        )

    async def coordinator(self, group: str, *, timeout_ms: int = 10_000) -> int:
        """The broker that coordinates the group. Waits while the broker elects one."""
        deadline = _now_ms() + timeout_ms
        pause_ms = RETRY_MS
        while True:
            fields = {"key": group, "key_type": GROUP, "coordinator_keys": [group]}
            answer = await self.request(FIND_COORDINATOR, fields)
            found = answer.coordinators[0] if hasattr(answer, "coordinators") else answer
            what = f"Finding the coordinator of group {group!r}"
            if not found.error_code:
                if found.node_id not in self.metadata.brokers:
                    await self.refresh(())
                return int(found.node_id)
            if not Code(found.error_code).retriable or _now_ms() > deadline:
                check(found.error_code, what, found.error_message)
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(pause_ms * 2, RETRY_MS_MAX)

    @property
    def where(self) -> str:
        """The bootstrap addresses, for messages."""
        return ", ".join(map(str, self.bootstrap))

    async def _any(self, lane: str) -> Connection:
        for (_, kept_lane), connection in self._connections.items():
            if kept_lane == lane and not connection.closed:
                return connection
        tried: dict[Address, str] = {}
        known = [broker.address for broker in self.metadata.brokers.values()]
        for number, address in enumerate((*self.bootstrap, *known)):
            if address in tried:
                continue
            try:
                return await self._open((-1 - number, lane), address)
            except ClientError as error:
                tried[address] = str(error)
        raise Unreachable("; ".join(tried.values()))

    async def _open(self, key: tuple[int, str], address: Address) -> Connection:
        connection = await Connection.open(
            address, client_id=self.client_id, timeout_ms=self.connect_timeout_ms
        )
        self._connections[key] = connection
        return connection


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000
