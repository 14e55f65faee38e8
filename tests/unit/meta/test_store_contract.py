"""The contract of the metadata store, held by the embedded and the simulated one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from headrace.meta.embedded import EmbeddedStore
from headrace.meta.store import Store
from headrace.sim.store import SimulatedStore

from tests.store_contract import *  # noqa: F403
from tests.store_contract import Compact


@pytest_asyncio.fixture(loop_scope="function", params=["embedded", "simulated"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "embedded":
        made = await EmbeddedStore.open(str(tmp_path / "metadata.sqlite"))
    else:
        made = SimulatedStore()
    yield made
    await made.close()


@pytest.fixture
def compact(tmp_path: Path) -> Compact:
    async def forget(store: Store) -> Store:
        if isinstance(store, SimulatedStore):
            store.compact()
            return store
        await store.close()
        return await EmbeddedStore.open(str(tmp_path / "metadata.sqlite"))

    return forget
