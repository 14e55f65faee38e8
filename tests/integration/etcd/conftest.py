"""Real etcds, started once a test run's worker and emptied between tests."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from headrace.meta.etcd.options import EtcdOptions
from headrace.meta.etcd.store import EtcdStore

from e2e.rig import pki
from e2e.rig.etcd import Etcd
from tests.integration.conftest import needs

MakeStore = Callable[..., EtcdStore]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(needs("go"))
            # The first one may have to compile etcd.
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def shared_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One member, with TLS and client certificates, called by its DNS name."""
    folder = tmp_path_factory.mktemp("etcd")
    authority = pki.Authority(folder / "pki")
    authority.issue("client", "headrace")
    with Etcd(folder, authority=authority) as etcd:
        yield etcd


@pytest.fixture
def etcd(shared_etcd: Etcd) -> Etcd:
    """The shared one, without keys."""
    shared_etcd.control("del", "--prefix", "")
    return shared_etcd


def options(etcd: Etcd, **changed: object) -> EtcdOptions:
    """How a broker would reach it."""
    files = {}
    if etcd.authority is not None:
        pki_folder = etcd.authority.folder
        files = {
            "ca_file": str(pki_folder / "ca.crt"),
            "cert_file": str(pki_folder / "client.crt"),
            "key_file": str(pki_folder / "client.key"),
        }
    return EtcdOptions(**{"endpoints": etcd.endpoints, **files, **changed})  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="function")
async def make_store() -> AsyncIterator[MakeStore]:
    """`make_store(etcd, request_timeout_ms=500)`: a store that is closed at the end."""
    async with AsyncExitStack() as stack:

        def make(etcd: Etcd, **changed: object) -> EtcdStore:
            store = EtcdStore(options(etcd, **changed))
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest_asyncio.fixture(loop_scope="function")
async def store(etcd: Etcd, make_store: MakeStore) -> EtcdStore:
    return make_store(etcd)
