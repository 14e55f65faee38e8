"""A broker: everything wired together, started in order and stopped in the reverse."""

import asyncio
import gc
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import structlog

from headrace.base.errors import Code, Refusal
from headrace.base.image import INTERNAL_TOPICS, ClusterImage, Endpoint
from headrace.base.units import INT32_MAX
from headrace.config.broker import BrokerSettings
from headrace.config.listeners import EVERYWHERE, advertised, endpoints_of
from headrace.config.table import broker_settings
from headrace.core.controller import NewTopic
from headrace.core.fetch_sessions import FetchSessions
from headrace.server import crash, descriptors, metadata_store
from headrace.server.batch_opening import BatchOpening
from headrace.server.bind_fault import bind_fault
from headrace.server.cleaner import Cleaner
from headrace.server.clock import SystemClock
from headrace.server.cold_readers import ColdReaders
from headrace.server.controller import Controller
from headrace.server.disk_reserve import DiskReserve
from headrace.server.dispatch import Dispatcher, RequestContext
from headrace.server.election import Election
from headrace.server.flusher import Flusher
from headrace.server.forwarding import Forwarding
from headrace.server.groups import Groups
from headrace.server.housekeeping import Housekeeping
from headrace.server.http import HttpEndpoint
from headrace.server.listener import Listener
from headrace.server.loop_watch import LoopWatch
from headrace.server.metadata import Metadata
from headrace.server.partitions import Partitions
from headrace.server.quotas import Quotas
from headrace.server.requests import RequestCounts
from headrace.server.status import Status
from headrace.server.topic_bytes import TopicBytes
from headrace.server.traffic import Traffic
from headrace.storage.data_dir import DataDir
from headrace.storage.os_disk import OsDisk
from headrace.wire import messages
from headrace.wire.fetch import FetchPartition

log = structlog.get_logger("headrace.broker")

_PRELOAD_EVERY_S = 0.02
_ANSWERS_WITHIN_S = 2.0
_LOOK_EVERY_S = 0.005
_AUTO_CREATE_WAIT_S = 5.0


class StartError(Exception):
    """The broker cannot start; the sentence says why and what to do."""


class Broker:
    """One broker process. `await start()`, then `await close()`; `failed` ends it early."""

    def __init__(self, static: Mapping[str, str]) -> None:
        self.loop = asyncio.get_running_loop()
        self._static = static
        settings = broker_settings(static)
        self.clock = SystemClock()
        self.node_id = settings.node_id
        self.status = Status(broker_id=self.node_id)
        self.requests = RequestCounts()
        self.traffic = Traffic()
        self.topic_bytes = TopicBytes()
        self.cold_readers = ColdReaders()
        self.batches = BatchOpening()
        self.quotas = Quotas(self.loop, self.clock, settings.control_listener_name)
        self.loop_watch = LoopWatch(self.loop)
        self.ready = False
        self.progress = "starting"
        self.failed: asyncio.Future[str] = self.loop.create_future()
        self.listeners: list[Listener] = []
        self._bound: tuple[Endpoint, ...] = ()
        self.http_port = -1
        self._first = settings
        self._folder = os.path.abspath(settings.data_dir)
        self._creating: dict[str, asyncio.Task[Refusal | None]] = {}
        self._started = AsyncExitStack()
        self._background: set[asyncio.Task[None]] = set()
        random_id = random.Random(os.urandom(16))
        self.fetch_sessions: FetchSessions[FetchPartition] = FetchSessions(
            lambda: random_id.randint(1, INT32_MAX),
            slots=settings.max_incremental_fetch_session_cache_slots,
        )

    @property
    def settings(self) -> BrokerSettings:
        """The settings in effect, dynamic ones included."""
        return self.metadata.settings

    @property
    def kafka_endpoints(self) -> tuple[Endpoint, ...]:
        """Where clients are told to come, by listener."""
        return advertised(self.settings, self._bound)

    @property
    def cluster_id(self) -> str:
        return self.metadata.cluster_id

    async def start(self) -> None:
        """Lock the data folder, recover, register, listen. Raises StartError and its kin."""
        first, undo = self._first, self._started
        self.loop_watch.start()
        undo.callback(self.loop_watch.stop)
        self.progress = f"opening {first.data_dir}"
        folder = self._folder
        self.data_dir = DataDir.open(OsDisk(descriptors.for_files()), folder, node_id=self.node_id)
        undo.callback(self.data_dir.close)
        self.data_dir.open_segments.limit = descriptors.read_segments_max()
        self.status.cluster_id = self.data_dir.cluster_id or ""
        if first.http_port >= 0:
            await self._listen_http(first.http_host, first.http_port)
        self.reserve = DiskReserve(self.data_dir.path, first.disk_full_retry_ms)
        undo.callback(self.reserve.close)
        await self._read_metadata()
        await self._open_partitions()
        self.groups = Groups(self)
        undo.push_async_callback(self.groups.close)
        self.metadata.subscribe(self._image_changed)
        # Others may have changed it meanwhile: our last registration may have stood all the time.
        self.partitions.follow(self.partitions.image, self.metadata.image)
        self.quotas.follow(self.metadata.image.quotas)
        self.housekeeping = Housekeeping(
            self.partitions, self.flusher, self.clock, lambda: self.settings
        )
        self.housekeeping.start()
        undo.push_async_callback(self.housekeeping.close)
        self.cleaner = Cleaner(
            self.partitions,
            self.data_dir,
            self.flusher,
            self.clock,
            lambda: self.settings,
            self.housekeeping.remove_later,
        )
        self.cleaner.start()
        undo.push_async_callback(self.cleaner.close)
        undo.push_async_callback(self._cancel_background)
        await self._listen()
        self.progress = "registering"
        self.election.start()
        undo.push_async_callback(self.election.close)
        await self._answered(self._register)
        self.groups.follow(self.metadata.image)
        self.ready = True
        self.progress = "ready"
        self.spawn(self._settle())
        self.spawn(self.controller.stock_producer_ids())

    async def _read_metadata(self) -> None:
        """Open the store, read the cluster from it, and see that the folder belongs to that."""
        first, shared = self._first, metadata_store.is_shared(self._first)
        store = await metadata_store.open_store(first, self._folder, self.reserve.no_room)
        self._started.push_async_callback(store.close)
        self.metadata = Metadata(
            store,
            node_id=self.node_id,
            static=self._static,
            cluster_id=self.data_dir.cluster_id,
            keys=metadata_store.keys_of(first),
            # A folder that comes from Apache Kafka is adopted, by a store of its own alone.
            holdings=self.data_dir.partition_folders() if shared or self.data_dir.was_ours else (),
        )
        self.metadata.fenced.add_done_callback(self._fenced)
        await self._answered(self.metadata.start)
        self._started.push_async_callback(self.metadata.close)
        self.data_dir.claim(self.metadata.cluster_id)
        self.status.cluster_id, self.status.metadata = self.metadata.cluster_id, self.metadata
        self.controller = Controller(self.metadata, store)
        self.election = Election(self.metadata, store, self.controller)
        self.forwarding = Forwarding(self)
        self._started.callback(self.forwarding.close)
        if not self.data_dir.was_clean:
            await self._raise_leader_epochs()

    async def _answered(self, call: Callable[[], Awaitable[None]]) -> None:
        """etcd may come later than we do; a file that fails is not waited for."""
        if not metadata_store.is_shared(self._first):
            await call()
            return

        def say(why: str) -> None:
            self.progress = why

        await metadata_store.answered(call, say)

    async def _raise_leader_epochs(self) -> None:
        while (refusal := await self.controller.raise_leader_epochs()) is not None:
            log.error("leader epochs could not be raised", reason=refusal.message)
            if not metadata_store.is_shared(self._first):
                return
            await asyncio.sleep(metadata_store.RETRY_S)

    async def _register(self) -> None:
        before = self.data_dir.clean_broker_epoch
        await self.metadata.register(
            self.kafka_endpoints,
            incarnation=self.status.incarnation,
            rack=self._first.broker_rack,
            continues=before if self.data_dir.was_clean and before >= 0 else None,
        )

    async def _open_partitions(self) -> None:
        first = self._first
        self.flusher = Flusher(
            self.loop,
            recovery_bytes_max=first.log_recovery_bytes_max,
            on_disk_fault=self._disk_failed,
            on_checkpoint=lambda: self.housekeeping.checkpoint_soon(),
        )
        self.partitions = Partitions(
            node_id=self.node_id,
            metadata=self.metadata,
            data_dir=self.data_dir,
            flusher=self.flusher,
            room=self.reserve,
            traffic=self.traffic,
            clock=self.clock,
        )
        self.status.partitions = self.partitions
        held = self.metadata.image.held.get(self.node_id, 0)
        if held > descriptors.partitions_max():
            raise StartError(
                f"{held} partitions are more than the limit of open files ({descriptors.limit()}) "
                f"allows: raise it (ulimit -n, LimitNOFILE) to {2 * held} or more"
            )
        self.progress = "recovering partitions"
        await self.partitions.open_all(self.metadata.image)
        self.data_dir.mark_running()
        self._started.push_async_callback(self._close_partitions)
        if not self.reserve.keep():
            self.reserve.no_room()

    async def _listen(self) -> None:
        dispatcher = self.dispatcher = Dispatcher(self)
        endpoints = []
        for wanted in endpoints_of("listeners", self._first.listeners):
            listener = Listener(self.loop, wanted.listener, self._first, dispatcher)
            try:
                port = await listener.open(wanted.host, wanted.port)
            except OSError as error:
                address = f"{wanted.listener}://{wanted.host}:{wanted.port}"
                where = "listeners; dev: --host, --kafka-port"
                raise StartError(bind_fault(address, error, where)) from error
            self.listeners.append(listener)
            endpoints.append(replace(wanted, host=_reachable(wanted.host), port=port))
        self._bound = tuple(endpoints)
        self._started.push_async_callback(self._close_listeners)

    async def _listen_http(self, host: str, port: int) -> None:
        http = HttpEndpoint(self)
        self._started.push_async_callback(http.close)
        try:
            self.http_port = await http.open(host, port)
        except OSError as error:
            where = "http.host, http.port; dev: --http-port"
            raise StartError(bind_fault(f"{host}:{port} for HTTP", error, where)) from error

    async def _settle(self) -> None:
        """After ready: load what the first requests would load, and keep it out of the GC."""
        try:
            for _ in messages.preload():
                await asyncio.sleep(_PRELOAD_EVERY_S)
        except OSError as error:
            # Without descriptors nothing can be imported now; each is when it is first asked for.
            log.warning("messages could not be loaded ahead", reason=str(error))
        gc.collect()
        gc.freeze()

    def _image_changed(self, old: ClusterImage, new: ClusterImage) -> None:
        self.partitions.follow(old, new)
        self.groups.follow(new)
        self.forwarding.follow(old, new)
        for name in new.topics.changed_since(old.topics):
            if name not in new.topics:
                self.traffic.forget(name)
        if old.quotas is not new.quotas:
            self.quotas.follow(new.quotas)
        if old.settings is not new.settings:
            self.partitions.configure_all()
            for listener in self.listeners:
                listener.configure(self.settings)
            self.metadata.advertise(self.kafka_endpoints)

    async def auto_create(self, name: str, context: RequestContext | None = None) -> Refusal | None:
        """Create a topic that a client asked for, or that we need ourselves (no context).

        Requests for the same one share the work.
        """
        task = self._creating.get(name)
        if task is None:
            task = self.loop.create_task(self._create(name, context))
            self._creating[name] = task
            task.add_done_callback(lambda _: self._creating.pop(name, None))
        done, _ = await asyncio.wait({task}, timeout=_AUTO_CREATE_WAIT_S)
        if not done:
            return Refusal(Code.LEADER_NOT_AVAILABLE, f"topic {name} is being created")
        return task.result()

    async def _create(self, name: str, context: RequestContext | None) -> Refusal | None:
        new: NewTopic | Refusal = NewTopic(name=name)
        if name in INTERNAL_TOPICS:
            new, context = self.groups.new_topic(name), None
        if isinstance(new, Refusal):
            return new
        refusal = await self.forwarding.create_topic(new, context)
        await self.partitions.all_open()
        if refusal is None or refusal.code is Code.TOPIC_ALREADY_EXISTS:
            return None
        if name in INTERNAL_TOPICS:
            log.error("an internal topic could not be created", topic=name, why=refusal.message)
        return refusal

    def group_metrics(self) -> Iterable[str]:
        """Lines of /metrics about groups and their lag."""
        return self.groups.metrics()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else; it is given up when the broker stops."""
        task = self.loop.create_task(work)
        task.add_done_callback(crash.on_bug)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _disk_failed(self, why: str) -> None:
        """The one data folder failed: nothing is left to serve, so the process ends."""
        log.error("the data folder failed and the broker stops", fault=why)
        if not self.failed.done():
            self.failed.set_result(why)

    def _fenced(self, why: asyncio.Future[str]) -> None:
        if not why.cancelled() and not self.failed.done():
            self.failed.set_result(why.result())

    async def close(self) -> None:
        """Stop taking requests, answer what can be, close every log, mark the folder clean."""
        self.ready, self.progress = False, "stopping"
        for listener in self.listeners:
            listener.stop_accepting()
        await self._started.aclose()

    async def _close_listeners(self) -> None:
        """What is appended is answered first: its flush takes milliseconds."""
        for listener in self.listeners:
            listener.stop_reading()
        deadline = self.loop.time() + _ANSWERS_WITHIN_S
        while any(li.owes_answers() for li in self.listeners) and (  # noqa: ASYNC110
            self.loop.time() < deadline
        ):
            await asyncio.sleep(_LOOK_EVERY_S)
        await self.dispatcher.close()
        for listener in self.listeners:
            listener.close()

    async def _close_partitions(self) -> None:
        """Only a folder whose logs all closed well is marked clean."""
        self.flusher.close()
        clean = await self.partitions.close()
        if clean and not self.failed.done():
            write_checkpoints = self.partitions.checkpoint()
            write_checkpoints()
            self.data_dir.mark_clean(self.metadata.epoch)

    async def _cancel_background(self) -> None:
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)


def _reachable(host: str) -> str:
    """What clients are told where we listen on every interface and nothing is advertised."""
    return "localhost" if host in EVERYWHERE else host
