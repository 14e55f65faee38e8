"""Read partitions from given offsets. Groups are in `group.py`, which assigns to a Consumer.

One task a leader keeps a fetch on the wire and up to two answers waiting, so that the network
and the broker work while the caller decodes. Fetch sessions are not used: they save bytes only
for consumers of very many partitions.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from headrace.base.errors import Code
from headrace.client.cluster import RETRY_MS, RETRY_MS_MAX, Cluster
from headrace.client.errors import (
    BrokerRefused,
    ClientError,
    ConnectionLost,
    RequestTimedOut,
    Unreachable,
    code_of,
)
from headrace.client.fetched import Fetched, next_offset
from headrace.client.settings import ConsumerSettings
from headrace.wire.versions import FETCH

TopicPartition = tuple[str, int]

OnTrouble = Callable[[ClientError | None], None]
"""Called each time that no broker answers, and with None once one has answered again."""

_FIRST_VERSION_WITH_TOPIC_IDS: Final = 13
_ANSWERS_WAITING_MAX: Final = 2
_NO_SESSION: Final = {"session_id": 0, "session_epoch": -1}


class Consumer:
    """An async context manager. `positions` are the offsets that `poll` gives next."""

    def __init__(
        self,
        cluster: Cluster,
        settings: ConsumerSettings | None = None,
        on_trouble: OnTrouble | None = None,
    ) -> None:
        self.trouble = Trouble(on_trouble)
        self.settings = settings or ConsumerSettings()
        self.positions: dict[TopicPartition, int] = {}
        self._cluster = cluster
        self._fetching: dict[TopicPartition, int] = {}
        self._answers: asyncio.Queue[Fetched | ClientError] = asyncio.Queue()
        self._slots = asyncio.Semaphore(_ANSWERS_WAITING_MAX)
        self._task: asyncio.Task[None] | None = None
        self._answered = 0.0  # when a broker last did, by the loop's clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.assign({})

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets from now on, and nothing else."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self.positions = dict(positions)
        self._fetching = dict(positions)
        self._answers = asyncio.Queue()
        self._slots = asyncio.Semaphore(_ANSWERS_WAITING_MAX)
        if positions:
            self._task = asyncio.create_task(self._supervise(), name="fetch")

    def drop(self, partition: TopicPartition) -> None:
        """Read that partition no more, and keep what is being fetched of the others."""
        self.positions.pop(partition, None)
        self._fetching.pop(partition, None)

    async def poll(self, timeout_ms: float | None = None) -> Fetched | None:
        """The next batches of some partition, or None after the timeout. Raises ClientError."""
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                while True:
                    answer = await self._answers.get()
                    if isinstance(answer, ClientError):
                        raise answer
                    self._slots.release()
                    key = (answer.topic, answer.partition)
                    if key in self.positions:
                        self.positions[key] = answer.next_offset
                        return answer
        except TimeoutError:
            return None

    async def _supervise(self) -> None:
        """Fetch from every leader; on trouble find the leaders anew and go on."""
        loop = asyncio.get_running_loop()
        pause_ms = RETRY_MS
        while self._fetching:
            started = loop.time()
            try:
                await self._fetch_from_leaders()
            except (_Moved, ConnectionLost, RequestTimedOut, Unreachable) as error:
                if self._answered >= started:
                    pause_ms = RETRY_MS
                if self.trouble.lasts(error, self.settings.unreachable_timeout_ms):
                    self._answers.put_nowait(error)
                    return
            except ClientError as error:
                self._answers.put_nowait(error)
                return
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(pause_ms * 2, RETRY_MS_MAX)

    async def _fetch_from_leaders(self) -> None:
        """Until the first of them fails, which is raised."""
        leaders = await self._leaders()
        tasks = [
            asyncio.create_task(self._fetch_from(node_id, partitions))
            for node_id, partitions in leaders.items()
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _leaders(self) -> dict[int, list[TopicPartition]]:
        leaders: dict[int, list[TopicPartition]] = {}
        for topic, index in self._fetching:
            partition = await self._cluster.partition(topic, index)
            leaders.setdefault(partition.leader, []).append((topic, index))
        return leaders

    async def _fetch_from(self, node_id: int, partitions: list[TopicPartition]) -> None:
        while True:
            wanted = [p for p in partitions if p in self._fetching]
            if not wanted:
                return
            connection = await self._cluster.connection(node_id, "fetch")
            version = connection.version(FETCH)
            fields, names = self._request(wanted, version)
            timeout_ms = self.settings.fetch_max_wait_ms + self._cluster.request_timeout_ms
            answer = await connection.request(
                FETCH, fields, version_max=version, timeout_ms=timeout_ms
            )
            self._answered = asyncio.get_running_loop().time()
            self.trouble.over()
            if answer.error_code:
                raise _Moved(code_of(answer.error_code), f"Fetching from broker {node_id}")
            for topic in answer.responses:
                name = names[topic.topic_id if hasattr(topic, "topic_id") else topic.topic]
                for partition in topic.partitions:
                    await self._take(name, partition)

    async def _take(self, topic: str, answer: Any) -> None:
        key = (topic, int(answer.partition_index))
        offset = self._fetching.get(key)
        if offset is None:
            return
        if answer.error_code:
            code = code_of(answer.error_code)
            what = f"Reading {topic}-{answer.partition_index} at offset {offset}"
            if code.retriable and code is not Code.CORRUPT_MESSAGE:
                self._cluster.forget(topic)
                raise _Moved(code, what)
            raise BrokerRefused(code, what, _out_of_range(topic, code))
        data = memoryview(answer.records or b"")
        following = next_offset(data, offset)
        if following == offset:
            return
        await self._slots.acquire()
        self._fetching[key] = following
        self._answers.put_nowait(
            Fetched(
                topic=topic,
                partition=key[1],
                offset=offset,
                next_offset=following,
                high_watermark=answer.high_watermark,
                data=data,
            )
        )

    def _request(
        self, wanted: list[TopicPartition], version: int
    ) -> tuple[dict[str, Any], dict[Any, str]]:
        """The request's fields, and topic names by what the answer will call them."""
        by_topic: dict[str, list[dict[str, Any]]] = {}
        for topic, index in wanted:
            by_topic.setdefault(topic, []).append(
                {
                    "partition": index,
                    "fetch_offset": self._fetching[topic, index],
                    "partition_max_bytes": self.settings.partition_max_bytes,
                    "log_start_offset": -1,
                    "current_leader_epoch": -1,
                    "last_fetched_epoch": -1,
                }
            )
        names: dict[Any, str] = {}
        topics = []
        for topic, partitions in by_topic.items():
            known = self._cluster.metadata.topics.get(topic)
            if known is None:
                raise _Moved(Code.UNKNOWN_TOPIC_OR_PARTITION, f"Topic {topic!r} was forgotten")
            called = known.topic_id if version >= _FIRST_VERSION_WITH_TOPIC_IDS else topic
            names[called] = topic
            topics.append({"topic": topic, "topic_id": known.topic_id, "partitions": partitions})
        fields = {
            "replica_id": -1,
            "max_wait_ms": self.settings.fetch_max_wait_ms,
            "min_bytes": 1,
            "max_bytes": self.settings.fetch_max_bytes,
            "isolation_level": int(self.settings.committed_only),
            "topics": topics,
            "forgotten_topics_data": [],
            "rack_id": "",
            **_NO_SESSION,
        }
        return fields, names


class Trouble:
    """How long brokers have not answered: counted from the first failure that is retried."""

    def __init__(self, on_trouble: OnTrouble | None) -> None:
        self._tell = on_trouble or (lambda _: None)
        self._since: float | None = None

    def lasts(self, error: ClientError, limit_ms: int | None) -> bool:
        """Whether it has lasted for longer than `limit_ms` (None: for ever); else tell of it."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        if limit_ms is not None and (now - self._since) * 1000 > limit_ms:
            return True
        if not isinstance(error, BrokerRefused):  # one that is there says whom to ask, or to wait
            self._tell(error)
        return False

    def over(self) -> None:
        """A broker has answered."""
        if self._since is not None:
            self._since = None
            self._tell(None)


def _out_of_range(topic: str, code: Code) -> str | None:
    if code is not Code.OFFSET_OUT_OF_RANGE:
        return None
    return f"no record has that offset: `headrace topic describe {topic}` shows first and last"


class _Moved(BrokerRefused):
    """The partition is to be asked of another broker, or of this one a little later."""
