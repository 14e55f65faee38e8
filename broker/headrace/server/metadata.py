"""The broker's view of the cluster: follows the store, and keeps this broker registered.

`Metadata.image` is replaced whole on every change and its listeners are told (old, new), on the
loop, in order of revision. `settings` are this broker's settings in effect: the file's under
the dynamic ones, which apply live.
"""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from secrets import token_bytes
from typing import Any, Final
from uuid import UUID

import structlog

from headrace.base.image import BrokerState, ClusterImage, Endpoint, TopicState
from headrace.config.broker import BrokerSettings
from headrace.config.describe import Layers
from headrace.config.key import SettingError
from headrace.config.table import broker_settings
from headrace.config.topic import LogSettings, log_settings
from headrace.meta.image import ImageBuilder
from headrace.meta.keys import Keys, encode, encode_broker
from headrace.meta.store import (
    Compacted,
    Conflict,
    CreateRevision,
    Done,
    ModRevision,
    Operation,
    Put,
    Snapshot,
    Store,
    Unavailable,
    Unknown,
)
from headrace.server import crash

Listener = Callable[[ClusterImage, ClusterImage], None]

log = structlog.get_logger()

_RETRY_MS: Final = 500
"""Time between two tries while the store does not answer."""
_SHOWN_MAX: Final = 3
"""Partitions named in a sentence."""


class MetadataError(Exception):
    """The store cannot be used by this broker; the sentence says why and what to do."""


def new_cluster_id() -> str:
    """A random id in Kafka's form: 16 bytes as 22 characters of URL-safe base64."""
    return urlsafe_b64encode(token_bytes(16)).decode().rstrip("=")


class Metadata:
    """`await start()`, then `await register(...)`; `await close()` ends the registration.

    `static` are the settings file's texts by canonical key (config.table.canonical).
    `holdings` are partitions in the data folder, which a store that is empty cannot be meant for.
    """

    def __init__(
        self,
        store: Store,
        *,
        node_id: int,
        static: Mapping[str, str],
        cluster_id: str | None = None,
        keys: Keys | None = None,
        holdings: Sequence[str] = (),
    ) -> None:
        self.node_id = node_id
        self.static = dict(static)
        self.keys = keys or Keys()
        self.settings: BrokerSettings = broker_settings(self.static)
        self._store = store
        self._expected_cluster_id = cluster_id
        self._holdings = holdings
        self._builder = ImageBuilder(self.keys)
        self._listeners: list[Listener] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._lease = 0
        self._heard_at = asyncio.get_running_loop().time()
        self._log_settings: dict[str, tuple[TopicState, LogSettings]] = {}

    @property
    def image(self) -> ClusterImage:
        return self._builder.image

    @property
    def builder(self) -> ImageBuilder:
        """For the controller: what is being deleted, and orphans."""
        return self._builder

    @property
    def cluster_id(self) -> str:
        return self.image.cluster_id

    @property
    def layers(self) -> Layers:
        """This broker's explicit settings, by where they come from."""
        cluster, own = (self.image.settings.get(where, {}) for where in self._dynamic)
        return Layers(static=self.static, cluster=cluster, broker=own)

    def age_seconds(self) -> float:
        """Time since the store last answered: how old the image may be."""
        return asyncio.get_running_loop().time() - self._heard_at

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(old, new)` after every change from now on."""
        self._listeners.append(listener)

    def log_settings(self, topic: TopicState) -> LogSettings:
        """The topic's settings in effect, cached until the topic or the broker's change."""
        cached = self._log_settings.get(topic.name)
        if cached is None or cached[0] is not topic:
            cached = (topic, log_settings(self.settings, topic.settings))
            self._log_settings[topic.name] = cached
        return cached[1]

    async def start(self) -> None:
        """Read everything once and follow it. Raises MetadataError, Unavailable."""
        self._load(await self._store.snapshot(self.keys.prefix))
        if self._holdings and not self.image.cluster_id:
            raise MetadataError(self._forgotten())
        while not self.image.cluster_id:
            value = encode({"id": self._expected_cluster_id or new_cluster_id()})
            await self._store.txn(
                [ModRevision(self.keys.cluster, 0)], [Put(self.keys.cluster, value)]
            )
            self._load(await self._store.snapshot(self.keys.prefix))
        expected = self._expected_cluster_id or self.cluster_id
        if expected != self.cluster_id:
            raise MetadataError(
                f"the data folder belongs to the cluster {expected}, and the metadata store to "
                f"{self.cluster_id}: start the broker with the folder or the store that belongs "
                "to it."
            )
        self._spawn(self._follow(), "metadata-follow")

    def _forgotten(self) -> str:
        shown = ", ".join(sorted(self._holdings)[:_SHOWN_MAX])
        more = ", ..." if len(self._holdings) > _SHOWN_MAX else ""
        return (
            f"the metadata store has nothing under {self.keys.prefix}, and the data folder holds "
            f"{len(self._holdings)} partitions ({shown}{more}) of the cluster "
            f"{self._expected_cluster_id or '(unknown)'}; nothing was changed: give the broker the "
            "store and the cluster.name that know them (or restore the store), or an empty data "
            "folder."
        )

    async def register(
        self, endpoints: tuple[Endpoint, ...], *, incarnation: UUID, rack: str | None = None
    ) -> None:
        """Announce this broker, and claim the controller's role if it is free.

        The caller holds the data folder's lock, so a registration under our id is a dead
        predecessor's: its lease is revoked and the key is created anew, with a new epoch.
        """
        broker = BrokerState(
            broker_id=self.node_id,
            epoch=-1,
            incarnation=incarnation,
            endpoints=endpoints,
            rack=rack,
        )
        self._lease = await self._claim(broker)
        self._spawn(self._keep_alive(broker), "metadata-lease")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(crash.on_bug)
        self._tasks.append(task)

    async def reached(self, revision: int) -> None:
        """Return once the image holds everything up to `revision`."""
        if self.image.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        await future

    async def close(self) -> None:
        """Stop following, and end the registration so that others see it at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        if self._lease:
            with suppress(Unavailable):
                await self._store.revoke_lease(self._lease)

    async def _claim(self, broker: BrokerState) -> int:
        key = self.keys.broker(self.node_id)
        while True:
            previous = await self._store.get(key)
            if previous is not None:
                await self._store.revoke_lease(previous.lease)
            lease = await self._store.grant_lease(self.settings.broker_session_timeout_ms)
            operations: list[Operation] = [Put(key, encode_broker(broker), lease)]
            controller = await self._store.get(self.keys.controller)
            if controller is None:
                role = encode({"broker": self.node_id})
                operations.append(Put(self.keys.controller, role, lease))
            guards = [CreateRevision(o.key, 0) for o in operations if isinstance(o, Put)]
            match await self._store.txn(guards, operations):
                case Done(revision):
                    await self.reached(revision)
                    return lease
                case Conflict():
                    await self._store.revoke_lease(lease)
                case Unknown():
                    await asyncio.sleep(_RETRY_MS / 1000)  # Then the first read tells.

    async def _keep_alive(self, broker: BrokerState) -> None:
        """A lost registration is claimed again; until then we serve what we lead."""
        while True:
            await asyncio.sleep(self.settings.broker_heartbeat_interval_ms / 1000)
            try:
                alive = await self._store.keep_alive(self._lease)
                self._heard()
                if not alive:
                    log.warning("the registration was lost and is claimed again")
                    self._lease = await self._claim(broker)
            except Unavailable as error:
                log.warning("the registration could not be renewed", reason=str(error))

    async def _follow(self) -> None:
        while True:
            try:
                async for changes in self._store.watch(self.keys.prefix, self.image.revision):
                    old = self.image
                    if self._builder.apply(changes):
                        self._changed(old)
                await asyncio.sleep(_RETRY_MS / 1000)
            except Compacted:
                await self._reload()
            except Unavailable as error:
                log.warning("the metadata store is away", reason=str(error))
                await asyncio.sleep(_RETRY_MS / 1000)

    async def _reload(self) -> None:
        try:
            self._load(await self._store.snapshot(self.keys.prefix))
        except Unavailable as error:
            log.warning("the metadata store is away", reason=str(error))
            await asyncio.sleep(_RETRY_MS / 1000)

    def _load(self, snapshot: Snapshot) -> None:
        old = self.image
        if self._builder.load(snapshot):
            self._changed(old)

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    def _changed(self, old: ClusterImage) -> None:
        self._heard()
        new = self.image
        if any(old.settings.get(where) != new.settings.get(where) for where in self._dynamic):
            self._settle(new)
        for listener in self._listeners:
            listener(old, new)
        reached = [f for revision, f in self._waiting if revision <= new.revision]
        self._waiting = [w for w in self._waiting if w[0] > new.revision]
        for future in reached:
            if not future.done():
                future.set_result(None)

    @property
    def _dynamic(self) -> tuple[tuple[str, str], ...]:
        """Where this broker's dynamic settings stand, the later over the earlier."""
        return (("broker", ""), ("broker", str(self.node_id)))

    def _settle(self, image: ClusterImage) -> None:
        """Values are checked when they are set; one that a newer broker set may be unknown."""
        layers = [image.settings.get(where, {}) for where in self._dynamic]
        try:
            self.settings = broker_settings(self.static, *layers)
        except SettingError as error:
            log.error("dynamic settings are left as they were", reason=str(error))
        self._log_settings.clear()
