"""What the coordinator runtime stands on, in memory: partitions, a broker, a clock told to move."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from headrace.base.errors import Code, Refusal
from headrace.base.image import BrokerState, ClusterImage, Endpoint, PartitionState, TopicState
from headrace.base.persistent_map import PersistentMap
from headrace.config.broker import BrokerSettings
from headrace.config.topic import LogSettings
from headrace.core.controller import OFFSETS_TOPIC
from headrace.server.apis import HANDLERS
from headrace.server.dispatch import RequestContext
from headrace.server.groups import Groups
from headrace.storage.disk import DiskFull
from headrace.wire import messages
from headrace.wire.batch import read_batch_header, stamp
from headrace.wire.framing import read_header
from headrace.wire.versions import APIS

BROKER_ID = 1


class MemoryFile:
    """The file of a memory log."""

    def __init__(self) -> None:
        self.data = bytearray()

    def pread(self, count: int, position: int) -> bytes:
        return bytes(self.data[position : position + count])


class Part(NamedTuple):
    file: MemoryFile
    position: int
    count: int


class MemoryLog:
    """Batches one behind the other."""

    def __init__(self) -> None:
        self.settings = LogSettings()
        self.file = MemoryFile()
        self.starts: list[tuple[int, int]] = []
        self.log_start_offset = 0
        self.log_end_offset = 0

    def locate(self, offset: int, max_bytes: int, *, max_offset: int) -> Part:
        position = max(p for o, p in self.starts if o <= offset)
        end = len(self.file.data)
        stops = [p for _, p in self.starts if position < p <= position + max_bytes]
        if end - position > max_bytes:
            end = stops[-1] if stops else next(p for _, p in self.starts if p > position)
        return Part(self.file, position, end - position)


class MemoryPartition:
    """As server.partition.Partition. `hold` keeps the high watermark until `commit`."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = f"{OFFSETS_TOPIC}-{index}"
        self.log = MemoryLog()
        self.failure: str | None = None
        self.hold = False
        self.full = False
        self.high_watermark = 0
        self.leader_epoch = 0
        self.refusal: Code | None = None
        self.is_leader = True
        self.replica = self
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    def refuses(self, acks: int) -> Code | None:
        return self.refusal

    def append_as_leader(self, batch: bytearray, now_ms: int) -> int:
        if self.full:
            raise DiskFull
        base = self.log.log_end_offset
        stamp(memoryview(batch), 0, base, 0)
        self.log.starts.append((base, len(self.log.file.data)))
        self.log.file.data += batch
        self.log.log_end_offset = (
            read_batch_header(memoryview(batch), 0)._replace(base_offset=base).next_offset
        )
        if not self.hold:
            self.commit()
        return base

    def commit(self) -> None:
        self.high_watermark = self.log.log_end_offset
        self._wake(lambda end: end <= self.high_watermark)

    def when_committed(self, offset: int, wake: Callable[[], None]) -> bool:
        if self.high_watermark >= offset:
            return True
        self._waiting.append((offset, wake))
        return False

    def fail(self, why: str) -> None:
        self.failure = why
        self._wake(lambda end: True)

    def _wake(self, ripe: Callable[[int], bool]) -> None:
        waiting, self._waiting = self._waiting, []
        for end, wake in waiting:
            if ripe(end):
                wake()
            else:
                self._waiting.append((end, wake))


class MemoryPartitions(dict[tuple[str, int], MemoryPartition]):
    def get(self, topic: str, index: int) -> MemoryPartition | None:  # type: ignore[override]
        return dict.get(self, (topic, index))


class StillClock:
    """Moves when told."""

    def __init__(self) -> None:
        self.ms = 0

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + self.ms

    def monotonic_ms(self) -> int:
        return self.ms


class MemoryRoom:
    """As server.disk_reserve.DiskReserve, which says whether there is room."""

    def __init__(self) -> None:
        self.full = False

    def no_room(self) -> None:
        self.full = True


class MemoryBroker:
    """One broker that coordinates groups; topics appear by `create`."""

    def __init__(self, **settings: Any) -> None:
        self.settings = BrokerSettings(
            group_initial_rebalance_delay_ms=0, offsets_topic_num_partitions=3, **settings
        )
        endpoint = Endpoint(listener="L", host="here", port=9)
        state = BrokerState(
            broker_id=BROKER_ID, epoch=1, incarnation=uuid4(), endpoints=(endpoint,)
        )
        self.metadata = SimpleNamespace(
            image=ClusterImage(
                cluster_id="c", brokers=PersistentMap[int, BrokerState]().set(BROKER_ID, state)
            )
        )
        self.partitions = MemoryPartitions()
        self.clock = StillClock()
        self.reserve = MemoryRoom()
        self.groups = Groups(self)  # type: ignore[arg-type]

    def create(self, name: str, partitions: int = 1) -> UUID:
        topic_id = uuid4()
        one = PartitionState(replicas=(BROKER_ID,), isr=(BROKER_ID,), leader=BROKER_ID)
        topic = TopicState(name=name, topic_id=topic_id, partitions=(one,) * partitions)
        for index in range(partitions):
            self.partitions[name, index] = MemoryPartition(index)
        self._become(lambda topics: topics.set(name, topic), lambda ids: ids.set(topic_id, name))
        return topic_id

    def delete(self, name: str) -> None:
        topic = self.metadata.image.topics[name]
        self._become(lambda t: t.remove(name), lambda ids: ids.remove(topic.topic_id))

    def _become(self, topics: Callable[[Any], Any], names: Callable[[Any], Any]) -> None:
        from dataclasses import replace

        image = self.metadata.image
        self.metadata.image = replace(
            image, topics=topics(image.topics), topic_names=names(image.topic_names)
        )
        self.groups.follow(self.metadata.image)

    async def auto_create(self, name: str) -> Refusal | None:
        new = self.groups.new_topic(name)
        if isinstance(new, Refusal):
            return new
        self.create(new.name, new.partition_count)
        return None

    async def call(self, key: int, version: int, /, **fields: Any) -> Any:
        """One request through the wire both ways."""
        frame = memoryview(messages.write_request(key, version, 7, "app", fields))[4:]
        header = read_header(frame)
        request = messages.read_request(key, version, frame, header.body)
        context = RequestContext(version, header.client_id, "L", "127.0.0.1")
        answered = HANDLERS[key](self, request, context)
        answer = answered if isinstance(answered, dict) else await answered
        data = messages.write_response(key, version, 7, answer)
        return messages.read_response(key, version, memoryview(data)[4:])

    def restarted(self) -> "MemoryBroker":
        """Another broker over the same partitions and topics."""
        other = MemoryBroker()
        other.partitions = self.partitions
        other.metadata = self.metadata
        other.groups = Groups(other)  # type: ignore[arg-type]
        other.groups.follow(self.metadata.image)
        return other


def versions(key: int) -> range:
    """What we serve of an API."""
    api = APIS[key]
    return range(api.served_from, api.max_version + 1)
