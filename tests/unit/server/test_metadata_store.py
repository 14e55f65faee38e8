"""Which store the settings name, and how a start waits for it."""

import subprocess
import sys
from pathlib import Path

import pytest
from headrace.config.table import broker_settings
from headrace.meta.embedded import EmbeddedStore
from headrace.meta.store import Unavailable, Unusable
from headrace.server import metadata_store

ETCD = {"metadata.store": "etcd", "etcd.endpoints": "h:1"}


async def test_one_machine_has_a_file_under_its_own_keys(tmp_path: Path) -> None:
    settings = broker_settings({"cluster.name": "c"})
    store = await metadata_store.open_store(settings, str(tmp_path), lambda: None)
    assert isinstance(store, EmbeddedStore)
    await store.close()
    assert (tmp_path / "metadata.sqlite").exists()
    assert metadata_store.keys_of(settings).prefix == "/headrace/local/"


def test_a_cluster_has_keys_of_its_name() -> None:
    settings = broker_settings(ETCD | {"cluster.name": "space.c"})
    assert metadata_store.keys_of(settings).prefix == "/headrace/space.c/"


async def test_a_start_waits_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_store, "RETRY_S", 0.001)
    faults = [Unavailable("refused"), Unavailable("refused"), Unavailable("no leader")]
    told: list[str] = []

    async def call() -> str:
        if faults:
            raise faults.pop(0)
        return "found"

    assert await metadata_store.answered(call, told.append) == "found"
    assert [text.rpartition(": ")[2] for text in told] == ["refused", "refused", "no leader"]


async def test_a_store_that_must_not_be_used_ends_the_start() -> None:
    async def call() -> None:
        raise Unusable("too old")

    with pytest.raises(Unusable, match="too old"):
        await metadata_store.answered(call, lambda _: None)


def test_a_broker_of_one_machine_never_loads_etcds_client() -> None:
    code = (
        "import sys, headrace.server.main; "
        "print([m for m in sys.modules if m.partition('.')[0] in ('grpc', 'etcd3aio', 'google')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
