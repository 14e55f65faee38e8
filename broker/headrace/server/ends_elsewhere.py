"""Ends of partitions that other brokers lead: what the lag of a group coordinated here needs.

Their leaders are asked (ListOffsets, over the control listener where they have one) in the
background, at a bounded rate, and only while somebody scrapes. A scrape shows what was answered
last and waits for nothing; what a leader has not told for a while is not known.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from headrace.base.image import BrokerState, ClusterImage
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.client.errors import ClientError
from headrace.client.offsets import LATEST
from headrace.config.broker import BrokerSettings
from headrace.server import crash
from headrace.wire.framing import ProtocolError
from headrace.wire.versions import LIST_OFFSETS

log = structlog.get_logger("headrace.groups")

_EVERY_S: Final = 5.0
"""Between two rounds of questions: how much older than the scrape an end may be."""
_SCRAPED_S: Final = 120.0
"""Without a scrape for so long nobody is asked any more; Prometheus comes each minute or sooner."""
_KNOWN_S: Final = 30.0
"""A leader that is away for so long leaves a gap, where an old end would show a lag of nothing."""
_PARTITIONS_MAX: Final = 10_000
"""Asked for in one round, of all leaders together; what is beyond has no lag here."""
_A_REQUEST: Final = 200
"""Partitions in one request: less than 2 ms of the loop on either side."""
_LEADERS_AT_ONCE: Final = 8
_TIMEOUT_MS: Final = 3_000
_CLIENT_ID: Final = "headrace-lag"

Place = tuple[str, int]


class Followed(Protocol):
    """What it needs of server.metadata."""

    node_id: int
    settings: BrokerSettings

    @property
    def image(self) -> ClusterImage: ...


class EndsElsewhere:
    """Owned by the event loop; `await close()` ends its task."""

    def __init__(self, metadata: Followed) -> None:
        self._metadata = metadata
        self._wanted: Sequence[Place] = ()
        self._ends: dict[tuple[UUID, int], tuple[int, float]] = {}
        self._scraped_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def want(self, places: Iterable[Place]) -> None:
        """A scrape wants to know the ends of these; those it asked for before are forgotten."""
        self._wanted = tuple(islice(dict.fromkeys(places), _PARTITIONS_MAX))
        self._scraped_at = _now()
        if self._wanted and self._task is None:
            self._task = asyncio.create_task(self._run(), name="ends-elsewhere")
            self._task.add_done_callback(crash.on_bug)

    def get(self, topic: str, index: int) -> int | None:
        """The high watermark, as its leader told it lately."""
        state = self._metadata.image.topics.get(topic)
        told = None if state is None else self._ends.get((state.topic_id, index))
        return None if told is None or _now() - told[1] >= _KNOWN_S else told[0]

    async def close(self) -> None:
        """Ask nobody any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._wanted and _now() - self._scraped_at < _SCRAPED_S:
            await self._ask_all()
            oldest = _now() - _KNOWN_S
            self._ends = {place: told for place, told in self._ends.items() if told[1] > oldest}
            await asyncio.sleep(_EVERY_S)
        self._task = None

    async def _ask_all(self) -> None:
        free = asyncio.Semaphore(_LEADERS_AT_ONCE)

        async def ask(leader: BrokerState, places: Sequence[Place]) -> None:
            async with free:
                await self._ask(leader, places)

        questions = [ask(leader, places) for leader, places in await self._by_leader()]
        await asyncio.gather(*questions)

    async def _by_leader(self) -> list[tuple[BrokerState, list[Place]]]:
        found: dict[int, list[Place]] = {}
        image = self._metadata.image
        for number, (topic, index) in enumerate(self._wanted, 1):
            state = image.topics.get(topic)
            if state is not None and index < len(state.partitions):
                found.setdefault(state.partitions[index].leader, []).append((topic, index))
            if number % _A_REQUEST == 0:
                await asyncio.sleep(0)
        found.pop(self._metadata.node_id, None)
        return [(image.brokers[n], found[n]) for n in found if n in image.brokers]

    async def _ask(self, leader: BrokerState, places: Sequence[Place]) -> None:
        control = leader.endpoint(self._metadata.settings.control_listener_name)
        told = (control,) if control is not None else leader.endpoints[:1]
        try:
            for endpoint in told:
                await self._ask_at(Address(endpoint.host, endpoint.port), places)
        except (ClientError, ProtocolError) as error:
            log.debug("a leader does not tell its ends", leader=leader.broker_id, why=str(error))

    async def _ask_at(self, address: Address, places: Sequence[Place]) -> None:
        """Raises ClientError, ProtocolError."""
        connection = await Connection.open(address, client_id=_CLIENT_ID, timeout_ms=_TIMEOUT_MS)
        try:
            for start in range(0, len(places), _A_REQUEST):
                asked = _question(places[start : start + _A_REQUEST])
                self._take(await connection.request(LIST_OFFSETS, asked, timeout_ms=_TIMEOUT_MS))
        finally:
            connection.close()

    def _take(self, answer: Any) -> None:
        topics, now = self._metadata.image.topics, _now()
        for topic in answer.topics:
            state = topics.get(topic.name)
            for item in topic.partitions:
                if state is not None and not item.error_code:
                    self._ends[state.topic_id, item.partition_index] = (item.offset, now)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _question(places: Sequence[Place]) -> Mapping[str, Any]:
    topics: dict[str, list[Mapping[str, int]]] = {}
    for topic, index in places:
        item = {"partition_index": index, "current_leader_epoch": -1, "timestamp": LATEST}
        topics.setdefault(topic, []).append(item)
    return {
        "replica_id": -1,
        "isolation_level": 0,
        "topics": [{"name": name, "partitions": items} for name, items in topics.items()],
        "timeout_ms": _TIMEOUT_MS,
    }
