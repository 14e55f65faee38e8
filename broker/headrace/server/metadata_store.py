"""Which metadata store the settings name, and patience with one that is away at the start."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from headrace.config.broker import BrokerSettings
from headrace.meta.embedded import EmbeddedStore
from headrace.meta.etcd.options import EtcdOptions
from headrace.meta.keys import Keys
from headrace.meta.store import Store, Unavailable, Unusable

T = TypeVar("T")

log = structlog.get_logger("headrace.metadata")

_FILE: Final = "metadata.sqlite"
RETRY_S: Final = 1.0
"""Time between two questions at a store that was away."""


def is_shared(settings: BrokerSettings) -> bool:
    """Whether other brokers use the store too; it is then elsewhere, and may come later."""
    return settings.metadata_store == "etcd"


def keys_of(settings: BrokerSettings) -> Keys:
    """Where the cluster's keys stand in its store."""
    return Keys(f"/headrace/{settings.cluster_name}/") if is_shared(settings) else Keys()


async def open_store(
    settings: BrokerSettings, folder: str, on_disk_full: Callable[[], None]
) -> Store:
    """The store; etcd is first asked by the first call. Raises Unavailable, NewerFormat."""
    if not is_shared(settings):
        return await EmbeddedStore.open(os.path.join(folder, _FILE), on_disk_full)
    from headrace.meta.etcd.store import EtcdStore  # grpc costs 10 MB that `dev` has no use for

    return EtcdStore(
        EtcdOptions(
            endpoints=settings.etcd_endpoints,
            ca_file=settings.etcd_ca_file,
            cert_file=settings.etcd_cert_file,
            key_file=settings.etcd_key_file,
            username=settings.etcd_username,
            password_file=settings.etcd_password_file,
            first_endpoint=settings.node_id,
        )
    )


async def answered(call: Callable[[], Awaitable[T]], say: Callable[[str], None]) -> T:
    """Ask until the store answers; `say` is told each time why it waits. Raises Unusable."""
    told = ""
    while True:
        try:
            return await call()
        except Unusable:
            raise
        except Unavailable as error:
            why = str(error)
        say(f"waiting for the metadata store: {why}")
        if why != told:
            log.warning("waiting for the metadata store", reason=why)
            told = why
        await asyncio.sleep(RETRY_S)
