"""All partitions on this broker: opened at start, and following the cluster image from then on."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import structlog

from headrace.base.clock import Clock
from headrace.base.errors import Code
from headrace.base.image import ClusterImage, PartitionState, TopicState
from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.server.damage import Damage
from headrace.server.disk_reserve import Room
from headrace.server.flusher import Flusher
from headrace.server.metadata import Metadata
from headrace.server.partition import Partition
from headrace.server.traffic import Traffic
from headrace.storage.data_dir import DataDir
from headrace.storage.disk import DiskFault, DiskFull, NoDescriptor
from headrace.storage.log import Log

log = structlog.get_logger("headrace.log")

_CLOSING_THREADS = 16
"""Syncs at once: the file system's journal commits them together."""
_ROOM_RETRY_S = 1.0
_SHOWN_MAX = 10
"""Names in one line of the log."""
_SLICE_S = 0.002
"""Long work gives the loop back after this long (decision 2)."""


class Partitions:
    """By (topic, index). Owned by the event loop."""

    def __init__(
        self,
        *,
        node_id: int,
        metadata: Metadata,
        data_dir: DataDir,
        flusher: Flusher,
        room: Room,
        traffic: Traffic,
        clock: Clock,
    ) -> None:
        self._node_id = node_id
        self._metadata = metadata
        self._data_dir = data_dir
        self._flusher = flusher
        self._room = room
        self._traffic = traffic
        self._clock = clock
        self.damage = Damage(clock)
        self._loop = asyncio.get_running_loop()
        self._by_name: dict[tuple[str, int], Partition] = {}
        self._by_key: dict[tuple[Hashable, int], Partition] = {}
        self._image = ClusterImage(cluster_id="")
        self._to_open: deque[tuple[UUID, int]] = deque()
        self._all_open: asyncio.Future[None] | None = None
        self._retrying: asyncio.TimerHandle | None = None
        self._told = False
        self._leaving: dict[tuple[str, int], Partition] = {}
        self._retired: dict[float, list[str]] = {}

    def get(self, topic: str, index: int) -> Partition | None:
        """The partition if this broker holds it."""
        return self._by_name.get((topic, index))

    def find(self, key: tuple[Hashable, int]) -> Partition | None:
        """By (name or the 16 bytes of the id, index), as requests name topics. HOT."""
        return self._by_key.get(key)

    def why_not_found(self, key: tuple[Hashable, int]) -> Code:
        """The code for a key that `find` did not find."""
        topic, index = key
        if isinstance(topic, bytes):
            state = self._image.topic_by_id(UUID(bytes=topic))
            return Code.UNKNOWN_TOPIC_ID if state is None else self.why_absent(state.name, index)
        return self.why_absent(str(topic), index)

    def of_topic(self, topic: str) -> list[Partition]:
        """The topic's partitions held here, by index."""
        state = self._image.topics.get(topic)
        held = range(len(state.partitions)) if state else range(0)
        return [p for i in held if (p := self._by_name.get((topic, i))) is not None]

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def why_absent(self, topic: str, index: int) -> Code:
        """The code for a partition that `get` did not find."""
        state = self._image.topics.get(topic)
        if state is None or not 0 <= index < len(state.partitions):
            return Code.UNKNOWN_TOPIC_OR_PARTITION
        if self._node_id in state.partitions[index].replicas:
            return Code.LEADER_NOT_AVAILABLE  # It is about to be opened.
        return Code.NOT_LEADER_OR_FOLLOWER

    @property
    def image(self) -> ClusterImage:
        """The one that was applied last."""
        return self._image

    async def open_all(self, image: ClusterImage) -> None:
        """Open or recover every partition of the image that this broker holds.

        Folders that belong to no topic are set aside as strays, never deleted. Raises DiskFault.
        """
        strays = self._data_dir.set_aside_strays({t.topic_id for t in image.topics.values()})
        if strays:
            log.warning(
                "folders of topics that the metadata does not know are set aside, not deleted",
                folders=strays[:_SHOWN_MAX],
                count=len(strays),
            )
        began = self._loop.time()
        for topic in image.topics.values():
            settings = self._metadata.log_settings(topic)
            for index, state in enumerate(topic.partitions):
                if self._node_id in state.replicas:
                    self._open(topic, index, state, settings, clean=self._data_dir.was_clean)
                if self._loop.time() - began > _SLICE_S:
                    await asyncio.sleep(0)
                    began = self._loop.time()
        self._image = image

    def follow(self, old: ClusterImage, new: ClusterImage) -> None:
        """Apply a change of the image: create, configure, assign, remove. Costs O(changed)."""
        self._image = new
        for name in new.topics.changed_since(old.topics):
            before, topic = old.topics.get(name), new.topics.get(name)
            if before is not None and (topic is None or before.topic_id != topic.topic_id):
                self._remove_topic(before)
                before = None
            if topic is not None:
                self._apply(before, topic)
        self._open_some()

    def _apply(self, before: TopicState | None, topic: TopicState) -> None:
        settings = self._metadata.log_settings(topic)
        for index, state in enumerate(topic.partitions):
            if self._node_id not in state.replicas:
                continue
            partition = self._by_name.get((topic.name, index))
            if partition is None:
                self._to_open.append((topic.topic_id, index))
                continue
            if before is not None and before.settings != topic.settings:
                partition.configure(settings)
            partition.assign(state, settings.min_insync_replicas)

    def _open_some(self) -> None:
        """Open what waits for it, at most 2 ms long; a topic of many partitions takes turns."""
        began = self._loop.time()
        while self._to_open and self._loop.time() - began < _SLICE_S:
            topic_id, index = self._to_open.popleft()
            topic = self._image.topic_by_id(topic_id)
            if topic is None or (topic.name, index) in self._by_name:
                continue
            try:
                settings = self._metadata.log_settings(topic)
                self._open(topic, index, topic.partitions[index], settings, clean=False)
            except DiskFull as why:
                # Its requests are answered with a retriable error until there is room.
                self._to_open.appendleft((topic_id, index))
                self._wait_for_room(why)
                break
            except DiskFault as fault:
                self._flusher.fault(f"{topic.name}-{index}: {fault}")
        if self._to_open and self._retrying is None:
            if self._all_open is None:
                self._all_open = self._loop.create_future()
            self._loop.call_soon(self._open_some)
        elif self._all_open is not None:
            self._all_open.set_result(None)
            self._all_open = None

    def _wait_for_room(self, why: DiskFull) -> None:
        if not isinstance(why, NoDescriptor):
            self._room.no_room()
        elif not self._told:
            self._told = True
            log.error("partitions wait to be opened", waiting=len(self._to_open), fault=str(why))
        if self._retrying is None:
            self._retrying = self._loop.call_later(_ROOM_RETRY_S, self._open_again)

    def _open_again(self) -> None:
        self._retrying = None
        self._open_some()
        if not self._to_open:
            self._told = False

    async def all_open(self) -> None:
        """Return once every partition of the image that belongs here is open."""
        while self._all_open is not None:
            await asyncio.shield(self._all_open)

    def configure_all(self) -> None:
        """The defaults changed: every topic's settings are worked out again."""
        for topic in self._image.topics.values():
            wanted = self._metadata.log_settings(topic)
            for partition in self.of_topic(topic.name):
                if partition.log.settings != wanted:
                    partition.configure(wanted)

    def _open(
        self,
        topic: TopicState,
        index: int,
        state: PartitionState,
        settings: LogSettings,
        *,
        clean: bool,
    ) -> None:
        before = self._leaving.pop((topic.name, index), None)
        if before is not None:
            self._let_go(before)
        producers = Producers()
        opened = Log.open(
            self._data_dir.disk,
            self._data_dir.partition_path(topic.name, index, topic.topic_id),
            settings,
            producers,
            clean=clean,
            recovery_point=self._data_dir.recovery_point(topic.name, index),
            log_start_offset=self._data_dir.log_start_offset(topic.name, index),
            now_ms=self._clock.wall_ms(),
            open_segments=self._data_dir.open_segments,
        )
        partition = Partition(
            topic=topic.name,
            topic_id=topic.topic_id,
            index=index,
            log=opened,
            producers=producers,
            broker_id=self._node_id,
            flusher=self._flusher,
            room=self._room,
            traffic=self._traffic.of(topic.name),
        )
        opened.on_damage = partial(self.damage.met, partition.name)
        if opened.recovered.cut_bytes:
            self.damage.cut(partition.name, opened.recovered)
        partition.assign(state, settings.min_insync_replicas)
        self._by_name[topic.name, index] = partition
        self._by_key[topic.name, index] = partition
        self._by_key[topic.topic_id.bytes, index] = partition

    def _remove_topic(self, topic: TopicState) -> None:
        """Nobody finds them from now on; their folders go in turns of 2 ms."""
        idle = not self._leaving
        for index in range(len(topic.partitions)):
            partition = self._by_name.pop((topic.name, index), None)
            if partition is not None:
                del self._by_key[topic.name, index], self._by_key[topic.topic_id.bytes, index]
                self._leaving[topic.name, index] = partition
        if idle:
            self._let_some_go()

    def _let_some_go(self) -> None:
        began = self._loop.time()
        while self._leaving and self._loop.time() - began < _SLICE_S:
            self._let_go(self._leaving.pop(next(iter(self._leaving))))
        if self._leaving:
            self._loop.call_soon(self._let_some_go)
            return
        retired, self._retired = self._retired, {}
        if retired:
            self._in_thread(self._data_dir.sync_names)
        for delay_s, paths in retired.items():
            self._loop.call_later(delay_s, self._in_thread, self._remove_retired, paths)

    def _let_go(self, partition: Partition) -> None:
        self._flusher.forget(partition)
        partition.closed()
        partition.log.close(clean=False)
        # A full disk does not wait: a reader's open file stays readable without its name.
        delay_ms = 0 if self._room.full else partition.log.settings.file_delete_delay_ms
        try:
            path = self._data_dir.retire_partition(
                partition.topic, partition.index, partition.topic_id
            )
            self._retired.setdefault(delay_ms / 1000, []).append(path)
        except NoDescriptor as fault:
            log.error("a folder stays, to be set aside by the next start", fault=str(fault))
        except DiskFault as fault:
            self._flusher.fault(f"{partition.name}: {fault}")

    def _remove_retired(self, paths: list[str]) -> None:
        for path in paths:
            self._data_dir.remove_retired(path)

    def _in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        """Run what may block for long; a fault of the disk ends up where all do."""

        def finished(done: asyncio.Future[None]) -> None:
            fault = done.exception()
            if isinstance(fault, NoDescriptor):
                self._loop.call_later(_ROOM_RETRY_S, self._in_thread, work, *arguments)
            elif isinstance(fault, DiskFault):
                self._flusher.fault(str(fault))
            elif fault is not None:
                raise fault

        self._loop.run_in_executor(None, work, *arguments).add_done_callback(finished)

    def checkpoint(self) -> Callable[[], None]:
        """Note where recovery may start and where each log starts; what is returned writes it.

        It syncs, so it runs in a thread. It raises DiskFull, DiskFault.
        """
        return self._data_dir.checkpoint(
            {(p.topic, p.index): p.log.recovery_point for p in self},
            {(p.topic, p.index): p.log.log_start_offset for p in self},
        )

    async def close(self) -> bool:
        """Flush and close every log, some at once; True if all of it worked.

        Each needs four descriptors for that: as many at once as there are threads.
        """
        while self._leaving:
            self._let_some_go()
        turns = asyncio.Semaphore(_CLOSING_THREADS)
        with ThreadPoolExecutor(_CLOSING_THREADS) as pool:
            closed = await asyncio.gather(*(self._close(p, pool, turns) for p in self))
        return all(closed)

    async def _close(
        self, partition: Partition, pool: ThreadPoolExecutor, turns: asyncio.Semaphore
    ) -> bool:
        if partition.failure is not None:
            return False
        partition.closed()
        async with turns:
            try:
                flush = partition.log.begin_close()
                await self._loop.run_in_executor(pool, flush.run)
                partition.log.flushed(flush)
                partition.log.close(clean=True)
            except (DiskFault, DiskFull) as fault:
                log.error("a log could not be closed", partition=partition.name, fault=str(fault))
                return False
        return True
