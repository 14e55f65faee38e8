"""A real etcd run with the very arguments and certificates that the operator gives it."""

import asyncio
import base64
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from headrace_operator.build.etcd import (
    DATA_FOLDER,
    INITIAL_STATE,
    TLS_FOLDER,
    render_member,
    server_names,
)
from headrace_operator.build.facts import Facts
from headrace_operator.pki import Authority, authority_data, issue, new_authority

from e2e.kafka.process import free_ports
from e2e.rig import etcd
from tests import cluster_world as world

CLUSTER = world.cluster(etcd={"managed": {"members": 1, "storage": {"size": "1Gi"}}})
HOST = "prod-etcd-0-0.prod-etcd.kafka.svc"
NOW = datetime.now(UTC).replace(microsecond=0)
START_TIMEOUT_S = 30.0


def arguments(folder: Path, ports: Mapping[int, int]) -> list[str]:
    """The container's command, with the pod's name, folders and ports as they are here."""
    managed = CLUSTER.spec.etcd.managed
    assert managed is not None
    facts = Facts(broker_image="", etcd_image="", operator_namespace="", brokers=())
    found = render_member(CLUSTER, managed, 0, facts)
    [container] = found.stateful_set["spec"]["template"]["spec"]["containers"]
    command = []
    for part in container["command"]:
        part = part.replace(DATA_FOLDER, str(folder / "volume")).replace(TLS_FOLDER, str(folder))
        part = part.replace(HOST, "localhost").replace("0.0.0.0", "127.0.0.1")
        for rendered, here in ports.items():
            part = part.replace(f":{rendered}", f":{here}")
        command.append(part)
    return [str(etcd.binary()), *command[1:]]


def write_certificate(folder: Path, ca: Authority, name: str, hosts: tuple[str, ...]) -> None:
    for file, text in issue(ca, name, hosts, NOW, timedelta(days=1)).items():
        (folder / file).write_bytes(base64.b64decode(text))


@contextmanager
def running(
    folder: Path, ports: Mapping[int, int], state: str
) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / "etcd.log").open("ab") as log:
        process = subprocess.Popen(
            arguments(folder, ports), stdout=log, stderr=log, env={INITIAL_STATE: state}
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def answers(process: "subprocess.Popen[bytes]", port: int, path: str) -> bool:
    """Whether it says ok in time; False as soon as the process has ended."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while process.poll() is None:
            if await asyncio.to_thread(_is_ok, f"http://127.0.0.1:{port}{path}"):
                return True
            await asyncio.sleep(0.05)
    return False


def _is_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def serial(folder: Path, ca: Authority, port: int) -> str:
    """The serial number of the certificate that etcd shows to a client with one of its own."""
    context = ssl.create_default_context(
        cadata=base64.b64decode(authority_data(ca)["tls.crt"]).decode()
    )
    client = folder / "client"
    client.mkdir(exist_ok=True)
    write_certificate(client, ca, "client", ())
    context.load_cert_chain(client / "tls.crt", client / "tls.key")

    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        seen = secure.getpeercert()
        assert seen is not None
        return str(seen["serialNumber"])


async def test_it_serves_renews_its_certificate_and_never_starts_over(tmp_path: Path) -> None:
    ca = new_authority("ca", NOW, timedelta(days=2))
    managed = CLUSTER.spec.etcd.managed
    assert managed is not None
    hosts = server_names(CLUSTER, managed)
    write_certificate(tmp_path, ca, "server", hosts)
    ports = dict(zip((2379, 2380, 2381), free_ports(3), strict=True))
    with running(tmp_path, ports, "new") as process:
        assert await answers(process, ports[2381], "/readyz"), (tmp_path / "etcd.log").read_text()
        assert await answers(process, ports[2381], "/livez")
        assert await answers(process, ports[2381], "/health")
        before = serial(tmp_path, ca, ports[2379])
        write_certificate(tmp_path, ca, "server", hosts)
        assert serial(tmp_path, ca, ports[2379]) != before
        with pytest.raises((ssl.SSLError, ConnectionError)):
            serial(tmp_path, new_authority("other", NOW, timedelta(days=1)), ports[2379])
    with running(tmp_path, ports, "existing") as process:
        assert await answers(process, ports[2381], "/readyz"), "its own volume is served again"
    (tmp_path / "volume").rename(tmp_path / "lost")
    with running(tmp_path, ports, "existing") as process:
        assert not await answers(process, ports[2381], "/readyz"), "an empty etcd was served"
