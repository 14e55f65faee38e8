"""A real etcd run with the very arguments and certificates that the operator gives it."""

import base64
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from headrace_operator.pki import Authority, authority_data, new_authority

from tests import cluster_world as world
from tests.integration.conftest import needs
from tests.managed_etcd import NOW, LoopbackEtcd, write_certificate

pytestmark = [needs("go"), pytest.mark.timeout(600)]  # The first one may have to compile etcd.
CLUSTER = world.cluster(etcd={"managed": {"members": 1, "storage": {"size": "1Gi"}}})


def serial(folder: Path, ca: Authority, port: int) -> str:
    """The serial number of the certificate that etcd shows to a client with one of its own."""
    context = ssl.create_default_context(
        cadata=base64.b64decode(authority_data(ca)["tls.crt"]).decode()
    )
    write_certificate(folder, ca, "client", ())
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")

    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        seen = secure.getpeercert()
        assert seen is not None
        return str(seen["serialNumber"])


async def test_it_serves_renews_its_certificate_and_never_starts_over(tmp_path: Path) -> None:
    etcd = LoopbackEtcd(tmp_path, CLUSTER)
    with etcd.running("new"):
        await etcd.all_answer()
        assert await etcd.answers(0, "/livez")
        assert await etcd.answers(0, "/health")
        before = serial(tmp_path / "me", etcd.ca, etcd.client_port)
        etcd.serve_certificate()
        assert serial(tmp_path / "me", etcd.ca, etcd.client_port) != before
        other = new_authority("other", NOW, timedelta(days=1))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            serial(tmp_path / "other", other, etcd.client_port)
    with etcd.running("existing"):
        assert await etcd.answers(0), "its own volume is served again"
    etcd.volume(0).rename(tmp_path / "lost")
    with etcd.running("existing"):
        assert not await etcd.answers(0), "an empty etcd was served"
