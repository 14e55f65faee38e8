"""The contract of the metadata store, held by a real etcd over TLS."""

import json

import pytest
from headrace.meta.store import Store

from e2e.rig.etcd import Etcd
from tests.store_contract import *  # noqa: F403
from tests.store_contract import Compact


@pytest.fixture
def compact(etcd: Etcd) -> Compact:
    async def forget(store: Store) -> Store:
        status = json.loads(etcd.control("endpoint", "status", "-w=json"))
        etcd.control("compact", str(status[0]["Status"]["header"]["revision"]))
        return store

    return forget
