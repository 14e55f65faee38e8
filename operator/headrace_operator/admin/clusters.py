"""Connections by Cluster, and what the operator asks of each, batched over all who ask at once.

Nothing here raises for the world's faults: an answer is what was asked for, a Refusal of the
broker, or Away.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from headrace.base.errors import Refusal
from headrace.client.address import Address
from headrace.client.cluster import Cluster
from headrace.client.errors import BrokerRefused, ClientError

from headrace_operator.admin import brokers, quotas, settings, topics
from headrace_operator.admin.batch import Batcher
from headrace_operator.admin.outcome import Away
from headrace_operator.admin.quotas import Limits
from headrace_operator.admin.settings import ALL_BROKERS, BROKER, SettingsChange
from headrace_operator.admin.topics import TopicQuestion
from headrace_operator.plan.quota import AlterQuota, Entity
from headrace_operator.plan.topic import CreateTopic, GrowTopic, LiveTopic

CLUSTERS_MAX: Final = 500
"""Connections are kept for that many Clusters; the one unused longest is closed first."""
CONTROL_PORT: Final = 9091
CONNECT_TIMEOUT_MS: Final = 3_000
REQUEST_TIMEOUT_MS: Final = 15_000
"""Above what a hundred topics take on a busy cluster; below it a dead broker holds up a worker."""
PARTITIONS_PER_REQUEST_MAX: Final = 2_000
"""A fifth of what brokers make in one request, so that one request takes a second, not five."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Addresses = Callable[[str, str], tuple[Address, ...]]


def control_address(namespace: str, name: str) -> tuple[Address, ...]:
    """The control listener of a Cluster's brokers, by the name of their headless Service."""
    return (Address(f"{name}-brokers.{namespace}.svc", CONTROL_PORT),)


class Admin:
    """All Clusters. `addresses` gives the brokers of Cluster (namespace, name)."""

    def __init__(self, addresses: Addresses = control_address) -> None:
        self._addresses = addresses
        self._clusters: OrderedDict[tuple[str, str], ClusterAdmin] = OrderedDict()

    def of(self, namespace: str, name: str) -> "ClusterAdmin":
        """The way into one Cluster; connects when something is asked."""
        key = (namespace, name)
        found = self._clusters.get(key)
        if found is None:
            if len(self._clusters) >= CLUSTERS_MAX:
                self._clusters.popitem(last=False)[1].close()
            found = self._clusters[key] = ClusterAdmin(self._addresses(namespace, name))
        self._clusters.move_to_end(key)
        return found

    def forget(self, namespace: str, name: str) -> None:
        """The Cluster is gone: close its connections."""
        found = self._clusters.pop((namespace, name), None)
        if found is not None:
            found.close()

    def close(self) -> None:
        """Close every connection; what still waits ends with Away."""
        while self._clusters:
            self._clusters.popitem()[1].close()


class ClusterAdmin:
    """One Cluster, for any number of callers at once."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._cluster = Cluster(
            addresses,
            client_id="headrace-operator",
            connect_timeout_ms=CONNECT_TIMEOUT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        self._describe = Batcher(self._answer_all(topics.describe_topics))
        self._create = Batcher(
            self._answer_all(topics.create_topics),
            weigh=lambda topic: topic.partitions,
            weight_max=PARTITIONS_PER_REQUEST_MAX,
        )
        self._grow = Batcher(
            self._answer_all(topics.grow_topics),
            weigh=lambda topic: topic.partitions,
            weight_max=PARTITIONS_PER_REQUEST_MAX,
        )
        self._delete = Batcher(self._answer_all(topics.delete_topics))
        self._alter = Batcher(self._answer_all(settings.alter_settings))
        self._describe_quotas = Batcher(self._answer_all(quotas.describe_quotas))
        self._alter_quotas = Batcher(self._answer_all(quotas.alter_quotas))

    async def describe_topic(
        self, name: str, setting_names: frozenset[str]
    ) -> LiveTopic | Refusal | Away | None:
        """The topic with those of its settings; None where there is none."""
        return await self._describe.ask(TopicQuestion(name=name, settings=setting_names))

    async def create_topic(self, topic: CreateTopic) -> LiveTopic | Refusal | Away:
        """Make a topic."""
        return await self._create.ask(topic)

    async def grow_topic(self, topic: GrowTopic) -> Refusal | Away | None:
        """Add partitions."""
        return await self._grow.ask(topic)

    async def delete_topic(self, topic_id: UUID) -> Refusal | Away | None:
        """Destructive: delete the topic of that id, if there is one."""
        return await self._delete.ask(topic_id)

    async def alter_settings(self, change: SettingsChange) -> Refusal | Away | None:
        """Change settings of a topic, or of all brokers."""
        return await self._alter.ask(change)

    async def broker_settings(self) -> dict[str, str] | Refusal | Away:
        """What is set for all brokers by AlterConfigs."""
        found = await self._answer(
            settings.describe_settings(self._cluster, BROKER, {ALL_BROKERS: None}, lane=topics.LOOK)
        )
        if isinstance(found, Refusal | Away):
            return found
        here = found[ALL_BROKERS]
        return here if isinstance(here, Refusal) else dict(here)

    async def own_settings(self, broker_id: int) -> dict[str, str] | Refusal | Away:
        """What is set for that broker alone; it answers for itself only."""
        name = str(broker_id)
        found = await self._answer(
            settings.describe_settings(
                self._cluster, BROKER, {name: None}, lane=topics.LOOK, node_id=broker_id
            )
        )
        if isinstance(found, Refusal | Away):
            return found
        here = found[name]
        return here if isinstance(here, Refusal) else dict(here)

    async def alter_own_settings(
        self, broker_id: int, change: SettingsChange
    ) -> Refusal | Away | None:
        """Change what is set for that broker alone, by asking itself."""
        found = await self._answer(
            settings.alter_settings(self._cluster, [change], node_id=broker_id)
        )
        return found if isinstance(found, Refusal | Away) else found[0]

    async def describe_quota(self, entity: Entity) -> Limits | Refusal | Away:
        """The limits of one entity; empty where it has none."""
        return await self._describe_quotas.ask(entity)

    async def alter_quota(self, change: AlterQuota) -> Refusal | Away | None:
        """Change the limits of one entity."""
        return await self._alter_quotas.ask(change)

    async def brokers_alive(self) -> frozenset[int] | Refusal | Away:
        """The ids of the registered brokers."""
        return await self._answer(brokers.brokers_alive(self._cluster))

    async def partitions_held(
        self, broker_id: int
    ) -> tuple[brokers.Partition, ...] | Refusal | Away:
        """The partitions whose records that broker holds; Away where it does not answer."""
        return await self._answer(brokers.partitions_held(self._cluster, broker_id))

    def close(self) -> None:
        """Close the connections; what waits for an answer ends with Away."""
        self._cluster.close()

    async def _answer(self, request: Awaitable[Answer]) -> Answer | Refusal | Away:
        try:
            async with asyncio.timeout(2 * REQUEST_TIMEOUT_MS / 1000):
                return await request
        except BrokerRefused as refused:
            return Refusal(refused.code, str(refused))
        except ClientError as error:
            return Away(str(error))
        except TimeoutError:
            return Away(f"No answer from {self._cluster.where} in time")

    def _answer_all(
        self, send: Callable[[Cluster, Sequence[Item]], Awaitable[Sequence[Answer]]]
    ) -> Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Refusal | Away]]]:
        async def answer(items: Sequence[Item]) -> Sequence[Answer | Refusal | Away]:
            found = await self._answer(send(self._cluster, items))
            if isinstance(found, Refusal | Away):
                return [found for _ in items]
            return found

        return answer
