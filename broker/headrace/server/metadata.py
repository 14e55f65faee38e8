"""The broker's view of the cluster: follows the store, and keeps this broker registered.

`Metadata.image` is replaced whole on every change and its listeners are told (old, new), on the
loop, in order of revision. `settings` are this broker's settings in effect: the file's under
the dynamic ones, which apply live.
"""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from secrets import token_bytes, token_hex
from typing import Any, Final
from uuid import UUID

import structlog

from headrace.base.image import BrokerState, ClusterImage, Endpoint, TopicState
from headrace.config.broker import BrokerSettings
from headrace.config.describe import Layers
from headrace.config.key import SettingError
from headrace.config.table import broker_settings
from headrace.config.topic import LogSettings, log_settings
from headrace.core import features
from headrace.meta.image import ImageBuilder
from headrace.meta.keys import Keys, UnknownFormat, decode, decode_broker, encode, encode_broker
from headrace.meta.store import (
    Compacted,
    CreateRevision,
    Delete,
    Done,
    Entry,
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
        self._shown: ClusterImage = self._builder.image
        self.lease = 0
        """That holds this broker's registration, or held it."""
        self._own: BrokerState | None = None
        self._wanted: BrokerState | None = None
        self._stirred = asyncio.Event()
        """Something may be wrong with our registration: look now."""
        self.epoch = -1
        """Of this broker's registration; -1 before the first."""
        self.fenced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done where this broker must stop, with the sentence that says why and what to do."""
        self._heard_at = asyncio.get_running_loop().time()
        self._log_settings: dict[str, tuple[TopicState, LogSettings]] = {}

    @property
    def image(self) -> ClusterImage:
        """The cluster as the store has it, and ourselves as long as nobody took our place.

        A lease may end while etcd goes away: what we lead is served on, so clients must find us.
        """
        return self._shown

    @property
    def builder(self) -> ImageBuilder:
        """For the controller: what is being deleted, and orphans."""
        return self._builder

    @property
    def own(self) -> BrokerState | None:
        """Our registration as it was written last; None before the first."""
        return self._own

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
        """Read everything once and follow it. Raises MetadataError, UnknownFormat, Unavailable."""
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
        self,
        endpoints: tuple[Endpoint, ...],
        *,
        incarnation: UUID,
        rack: str | None = None,
        continues: int | None = None,
    ) -> None:
        """Announce this broker, and claim the controller's role if it is free.

        The caller holds the data folder's lock, so a registration under our id is a dead
        predecessor's: its lease is revoked and the key is created anew, with a new epoch.
        Raises MetadataError, Unavailable.
        """
        self._wanted = BrokerState(
            broker_id=self.node_id,
            epoch=-1,
            incarnation=incarnation,
            endpoints=endpoints,
            rack=rack,
            continues=continues,
            token=token_hex(),
        )
        await self._claim(self._wanted)
        await self.reached(self.epoch)
        self._spawn(self._keep_alive(), "metadata-lease")

    def advertise(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Register anew with these, if it is registered with others; soon, and again if it fails.

        What is led goes on being served, and what else stands under our lease stays there.
        """
        if self._wanted is not None and self._wanted.endpoints != endpoints:
            self._wanted = replace(self._wanted, endpoints=endpoints)
            self._stirred.set()

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
        if self.lease:
            with suppress(Unavailable):
                await self._store.revoke_lease(self.lease)

    async def _claim(self, broker: BrokerState, lease: int = 0) -> None:
        """Register, under `lease` as long as it lives. Raises MetadataError, Unavailable."""
        key = self.keys.broker(self.node_id)
        while True:
            cluster = await self._store.get(self.keys.cluster)
            if not self._is_ours(cluster):
                raise MetadataError(self._not_ours())
            previous = await self._store.get(key)
            if previous is not None:
                found = self._registration(previous)
                self._refuse_twin(found, broker)
                if found.incarnation == broker.incarnation and found.epoch != self.epoch:
                    # The answer to an earlier try was lost.
                    self._claimed(found)
                    if (previous.lease, found.endpoints) == (lease, broker.endpoints):
                        return None
                    broker = replace(broker, continues=found.epoch)
                if previous.lease != lease:
                    await self._store.revoke_lease(previous.lease)
            if not lease or not await self._store.keep_alive(lease):
                lease = await self._store.grant_lease(self.settings.broker_session_timeout_ms)
                self.lease = lease
            operations: list[Operation] = [Put(key, encode_broker(broker), lease)]
            controller = await self._store.get(self.keys.controller)
            if controller is None:
                role = encode({"broker": self.node_id})
                operations.append(Put(self.keys.controller, role, lease))
            guards = [CreateRevision(o.key, 0) for o in operations if isinstance(o, Put)]
            founded = 0 if cluster is None else cluster.create_revision
            guards.append(CreateRevision(self.keys.cluster, founded))
            if previous is not None and previous.lease == lease:
                # Not by its lease, which holds more. Last, so that others miss us for a moment.
                ours = CreateRevision(key, previous.create_revision)
                await self._store.txn([ours], [Delete(key)])
            match await self._store.txn(guards, operations):
                case Done(revision):
                    return self._claimed(replace(broker, epoch=revision))
                case Unknown():
                    await asyncio.sleep(_RETRY_MS / 1000)  # Then the first read tells.

    def _claimed(self, broker: BrokerState) -> None:
        self._own, self.epoch = broker, broker.epoch

    def _registration(self, entry: Entry) -> BrokerState:
        return decode_broker(entry.key, entry.value, self.node_id, entry.create_revision)

    def _refuse_twin(self, other: BrokerState, broker: BrokerState) -> None:
        """Once registered, only another process with our id can stand where we stood."""
        if self.epoch >= 0 and other.incarnation != broker.incarnation:
            at = ", ".join(f"{e.host}:{e.port}" for e in other.endpoints)
            raise MetadataError(
                f"another broker with node.id={self.node_id} has registered ({at}): give each "
                "broker of a cluster a node.id of its own."
            )

    async def _keep_alive(self) -> None:
        """A lost registration is claimed again at once; until then we serve what we lead."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.broker_heartbeat_interval_ms / 1000):
                    await self._stirred.wait()
            self._stirred.clear()
            try:
                await self._look_after_registration()
            except Unavailable as error:
                log.warning("the registration could not be renewed", reason=str(error))
            except (MetadataError, UnknownFormat) as error:
                return self._fence(str(error))

    async def _look_after_registration(self) -> None:
        """Renew it, or claim it again. Raises MetadataError, Unavailable."""
        wanted, own = self._wanted, self._own
        assert wanted is not None and own is not None
        alive = await self._store.keep_alive(self.lease)
        self._heard()
        image = self._builder.image
        shown = image.brokers.get(self.node_id)
        lost = not alive or (image.revision >= own.epoch and shown != own)
        if lost:
            log.warning("the registration was lost and is claimed again")
        elif wanted.endpoints == own.endpoints:
            return
        # Nothing of ours was lost with it, so what it stood for goes on.
        again = replace(wanted, continues=self.epoch)
        await self._claim(again, self.lease if alive else 0)
        if not lost:
            log.info("registered anew, with other addresses", epoch=self.epoch)

    def _fence(self, why: str) -> None:
        if not self.fenced.done():
            self.fenced.set_result(why)

    def _is_ours(self, cluster: Entry | None) -> bool:
        """Whether the store's `cluster` key still names our cluster."""
        return cluster is not None and decode(cluster.key, cluster.value)["id"] == self.cluster_id

    def _not_ours(self) -> str:
        return (
            f"the metadata store no longer holds the cluster {self.cluster_id} under "
            f"{self.keys.prefix}; no partition was touched: restore the store, or point the broker "
            "at the one that knows the cluster, and start it again."
        )

    async def _follow(self) -> None:
        reload = False
        while True:
            try:
                if reload:
                    await self._reload()
                    reload = False
                async for changes in self._store.watch(self.keys.prefix, self.image.revision):
                    founding = [c.entry for c in changes if c.key == self.keys.cluster]
                    if not all(map(self._is_ours, founding)):
                        # Applied, it would delete every partition that is here.
                        raise MetadataError(self._not_ours())
                    old = self.image
                    if self._builder.apply(changes):
                        self._changed(old)
                await asyncio.sleep(_RETRY_MS / 1000)
            except (MetadataError, UnknownFormat) as refused:
                return self._fence(str(refused))
            except Compacted:
                reload = True
            except Unavailable as error:
                log.warning("the metadata store is away", reason=str(error))
                await asyncio.sleep(_RETRY_MS / 1000)

    async def _reload(self) -> None:
        """Read everything again. Raises MetadataError, UnknownFormat, Unavailable."""
        snapshot = await self._store.snapshot(self.keys.prefix)
        cluster = next((e for e in snapshot.entries if e.key == self.keys.cluster), None)
        if not self._is_ours(cluster):
            raise MetadataError(self._not_ours())
        self._load(snapshot)

    def _load(self, snapshot: Snapshot) -> None:
        old = self.image
        if self._builder.load(snapshot):
            self._changed(old)

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    def _changed(self, old: ClusterImage) -> None:
        self._heard()
        why_not = features.beyond(self._builder.image.features)
        if why_not is not None:
            raise MetadataError(why_not)
        new = self._shown = self._with_ourselves(self._builder.image)
        if any(old.settings.get(where) != new.settings.get(where) for where in self._dynamic):
            self._settle(new)
        for listener in self._listeners:
            listener(old, new)
        reached = [f for revision, f in self._waiting if revision <= new.revision]
        self._waiting = [w for w in self._waiting if w[0] > new.revision]
        for future in reached:
            if not future.done():
                future.set_result(None)

    def _with_ourselves(self, image: ClusterImage) -> ClusterImage:
        found = image.brokers.get(self.node_id)
        if self._own is None or (found and found.incarnation == self._own.incarnation):
            return image
        self._stirred.set()
        if found is not None:
            return image
        return replace(image, brokers=image.brokers.set(self.node_id, self._own))

    @property
    def _dynamic(self) -> tuple[tuple[str, str], ...]:
        """Where this broker's dynamic settings stand, the later over the earlier."""
        return (("broker", ""), ("broker", str(self.node_id)))

    def _settle(self, image: ClusterImage) -> None:
        """Values are checked when they are set; one that a newer broker set may be unknown, and
        one that the settings file no longer agrees with is left out."""
        layers = [dict(image.settings.get(where, {})) for where in self._dynamic]
        self._log_settings.clear()
        while True:
            try:
                self.settings = broker_settings(self.static, *layers)
                return
            except SettingError as error:
                log.error("a dynamic setting is not taken", reason=str(error))
                if not [layer for layer in layers if layer.pop(error.name, None) is not None]:
                    return
