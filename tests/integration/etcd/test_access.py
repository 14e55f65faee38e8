"""Certificates, users and passwords: what is refused, and what is mended without a restart."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from headrace.meta.store import Done, Put, Unavailable

from e2e.rig import pki
from e2e.rig.etcd import Etcd
from tests.integration.etcd.conftest import MakeStore
from tests.integration.etcd.test_lost_answers import answered
from tests.store_contract import put


async def test_a_stranger_to_the_authority_is_refused(
    etcd: Etcd, tmp_path: Path, make_store: MakeStore
) -> None:
    other = pki.Authority(tmp_path / "other")
    stranger = other.issue("client", "headrace")
    for files, words in (
        ({"ca_file": str(other.pair.certificate)}, "CERTIFICATE_VERIFY_FAILED"),
        ({"cert_file": str(stranger.certificate), "key_file": str(stranger.key)}, ""),
        ({"ca_file": "", "cert_file": "", "key_file": ""}, ""),
        ({"cert_file": "", "key_file": ""}, ""),
        ({"ca_file": str(tmp_path / "absent")}, "absent for etcd cannot be read"),
    ):
        store = make_store(etcd, request_timeout_ms=2_000, **files)
        with pytest.raises(Unavailable, match=words or etcd.endpoints[0]):
            await store.get("/a")


async def test_a_name_that_the_certificate_does_not_have_is_refused(
    tmp_path: Path, make_store: MakeStore
) -> None:
    authority = pki.Authority(tmp_path / "pki")
    authority.issue("client", "headrace")
    with Etcd(tmp_path / "etcd", authority=authority, hosts=("localhost",)) as etcd:
        port = etcd.endpoints[0].rpartition(":")[2]
        good = make_store(etcd, endpoints=(f"localhost:{port}",))
        assert isinstance(await good.txn([], [Put("/a", b"")]), Done)
        bad = make_store(etcd, endpoints=(f"127.0.0.1:{port}",), request_timeout_ms=2_000)
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await bad.get("/a")


async def test_new_certificates_are_taken_without_a_restart(
    tmp_path: Path, make_store: MakeStore
) -> None:
    """etcd comes back under another authority, and the broker's files are replaced."""
    files = tmp_path / "files"
    first, second = pki.Authority(tmp_path / "1"), pki.Authority(tmp_path / "2")
    for authority in (first, second):
        authority.issue("client", "headrace")
    shutil.copytree(first.folder, files)
    etcd = Etcd(tmp_path / "etcd", authority=first)
    named = {"ca_file": "ca.crt", "cert_file": "client.crt", "key_file": "client.key"}
    store = make_store(
        etcd, request_timeout_ms=1_000, **{k: str(files / name) for k, name in named.items()}
    )
    with etcd:
        start = await put(store, "/a")
        changes = store.watch("/", start)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.to_thread(etcd.stop)
        etcd.trust(second)
        await asyncio.to_thread(etcd.start)
        with pytest.raises(Unavailable):
            await store.get("/a")
        for name in named.values():
            shutil.copy(second.folder / name, files / f"{name}.new")
            os.replace(files / f"{name}.new", files / name)
        assert await answered(store, "/a") is not None
        revision = await put(store, "/a")
        async with asyncio.timeout(20):
            assert (await waiting)[0].revision == revision


async def test_a_user_with_a_password(tmp_path: Path, make_store: MakeStore) -> None:
    """etcd forgets its tokens in a restart, and the password changes: both are mended."""
    password = tmp_path / "password"
    password.write_text("first\n")
    root = "root:secret"
    with Etcd(tmp_path / "etcd") as etcd:
        for words in (
            "user add root:secret",
            "user grant-role root root",
            "user add broker:first",
            "role add brokers",
            "role grant-permission brokers --prefix=true readwrite /headrace/one/",
            "user grant-role broker brokers",
            "auth enable",
        ):
            etcd.control(*words.split())
        store = make_store(
            etcd, username="broker", password_file=str(password), request_timeout_ms=2_000
        )
        start = await put(store, "/headrace/one/a")
        changes = store.watch("/headrace/one/", start)
        with pytest.raises(Unavailable, match="permission denied"):
            await store.get("/headrace/other/a")
        with pytest.raises(Unavailable, match="user name is empty"):
            await make_store(etcd).get("/headrace/one/a")
        await asyncio.to_thread(etcd.stop)
        await asyncio.to_thread(etcd.start)
        await answered(store, "/headrace/one/a")
        revision = await put(store, "/headrace/one/a")
        async with asyncio.timeout(20):
            assert (await anext(changes))[0].revision == revision
        etcd.control("user", "passwd", "broker", "--interactive=false", user=root, text="second")
        await asyncio.to_thread(etcd.stop)
        await asyncio.to_thread(etcd.start)
        with pytest.raises(Unavailable, match="invalid user ID or password"):
            await store.get("/headrace/one/a")
        password.write_text("second\n")
        await answered(store, "/headrace/one/a")
        lease = await store.grant_lease(5_000)
        assert await store.keep_alive(lease)
