"""A managed etcd on loopback: real members with the very arguments and certificates that the
operator gives them.

Each has a loopback address of its own for clients and metrics, on the same ports as the others, as
pods have; the names in the arguments become localhost with a port a member between peers.
"""

import asyncio
import base64
import itertools
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headrace_operator.build import names
from headrace_operator.build.broker import ETCD_PORT
from headrace_operator.build.etcd import DATA_FOLDER, INITIAL_STATE, render_member, server_names
from headrace_operator.build.etcd import TLS_FOLDER as ETCD_TLS_FOLDER
from headrace_operator.build.facts import Facts
from headrace_operator.build.protection import ETCD_METRICS_PORT, ETCD_PEER_PORT
from headrace_operator.crd.cluster import Cluster
from headrace_operator.crd.etcd import ManagedEtcd
from headrace_operator.etcd_api import EtcdMember
from headrace_operator.kinds import Object
from headrace_operator.pki import Authority, issue, new_authority

from e2e.kafka.process import free_ports
from e2e.rig import etcd as programs
from e2e.rig.process import run

START_TIMEOUT_S = 30.0
NOW = datetime.now(UTC).replace(microsecond=0)
_numbers = itertools.count(2)


def facts() -> Facts:
    return Facts(broker_image="b:1", etcd_image="e:1", operator_namespace="o", brokers=())


def write_certificate(folder: Path, ca: Authority, name: str, hosts: tuple[str, ...]) -> Object:
    """A certificate's files, and the Secret that they stand for."""
    data = issue(ca, name, hosts, NOW, timedelta(days=1))
    folder.mkdir(exist_ok=True, parents=True)
    for file, text in data.items():
        (folder / file).write_bytes(base64.b64decode(text))
    return {"data": data}


class LoopbackEtcd:
    """The managed etcd of a Cluster. The first member's clients find it at localhost."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        etcd = cluster.spec.etcd.managed
        assert etcd is not None
        self.folder = folder
        self.cluster = cluster
        self.etcd: ManagedEtcd = etcd
        self.ca = new_authority("ca", NOW, timedelta(days=2))
        self.client_port, self.metrics_port, *self.peer_ports = free_ports(2 + etcd.members)
        others = (f"127.0.0.{next(_numbers)}" for _ in range(etcd.members - 1))
        self.addresses = dict(enumerate(["127.0.0.1", *others]))
        self.serve_certificate()
        self.secret = write_certificate(folder / "client", self.ca, "client", ())
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def serve_certificate(self) -> None:
        """A new one, from the next handshake on."""
        write_certificate(
            self.folder / "tls", self.ca, "server", server_names(self.cluster, self.etcd)
        )

    def volume(self, index: int) -> Path:
        return self.folder / f"volume-{index}"

    def peer_url(self, index: int) -> str:
        return f"https://localhost:{self.peer_ports[index]}"

    def member(self, index: int) -> EtcdMember:
        """As the operator finds it."""
        return EtcdMember(
            address=self.addresses[index], host=self._host(index), port=self.client_port
        )

    def here(self, command: list[str], index: int) -> list[str]:
        """A rendered command with the folders, names and ports that they are here."""
        address = self.addresses[index]
        changes = {
            DATA_FOLDER: str(self.volume(index)),
            ETCD_TLS_FOLDER: str(self.folder / "tls"),
            f"0.0.0.0:{ETCD_PEER_PORT}": f"127.0.0.1:{self.peer_ports[index]}",
            f"0.0.0.0:{ETCD_PORT}": f"{address}:{self.client_port}",
            f"0.0.0.0:{ETCD_METRICS_PORT}": f"{address}:{self.metrics_port}",
        }
        for other in range(self.etcd.members):
            port = self.peer_ports[other]
            changes[f"{self._host(other)}:{ETCD_PEER_PORT}"] = f"localhost:{port}"
        done = []
        for part in command:
            for old, new in changes.items():
                part = part.replace(old, new)
            done.append(part)
        return [str(programs.binaries.binary(done[0])), *done[1:]]

    @contextmanager
    def running(self, state: str, *indexes: int) -> Iterator[None]:
        """With these members, or all; killed at the end."""
        chosen = indexes or tuple(self.addresses)
        try:
            for index in chosen:
                self.start(index, state)
            yield
        finally:
            for index in list(self._processes):
                self.kill(index)

    def start(self, index: int, state: str) -> None:
        stateful_set = render_member(self.cluster, self.etcd, index, facts()).stateful_set
        [container] = stateful_set["spec"]["template"]["spec"]["containers"]
        with self.log(index).open("ab") as log:
            self._processes[index] = subprocess.Popen(
                self.here(container["command"], index),
                stdout=log,
                stderr=log,
                env={INITIAL_STATE: state},
            )

    def kill(self, index: int) -> None:
        process = self._processes.pop(index)
        process.kill()
        process.wait()

    def log(self, index: int) -> Path:
        return self.folder / f"etcd-{index}.log"

    async def answers(self, index: int, path: str = "/readyz") -> bool:
        """Whether it says ok in time; False as soon as the process has ended."""
        url = f"http://{self.addresses[index]}:{self.metrics_port}{path}"
        async with asyncio.timeout(START_TIMEOUT_S):
            while self._processes[index].poll() is None:
                if await asyncio.to_thread(_is_ok, url):
                    return True
                await asyncio.sleep(0.05)
        return False

    async def all_answer(self) -> None:
        for index in self._processes:
            assert await self.answers(index), self.log(index).read_text()[-3000:]

    def control(self, *arguments: str, member: int = 0, text: str = "") -> str:
        """What etcdctl says of one member."""
        files = self.folder / "client"
        words: list[str | Path] = [
            programs.client_binary(),
            f"--endpoints=https://{self.addresses[member]}:{self.client_port}",
            f"--cert={files / 'tls.crt'}",
            f"--key={files / 'tls.key'}",
            "--insecure-skip-tls-verify",  # Its name is not the address; others check it.
        ]
        return run([*words, *arguments], text=text)

    def broker_settings(self) -> Mapping[str, str]:
        """What a broker needs to keep its metadata here."""
        files = self.folder / "client"
        return {
            "metadata.store": "etcd",
            "etcd.endpoints": f"localhost:{self.client_port}",
            "etcd.ca.file": str(files / "ca.crt"),
            "etcd.cert.file": str(files / "tls.crt"),
            "etcd.key.file": str(files / "tls.key"),
        }

    def _host(self, index: int) -> str:
        metadata = self.cluster.metadata
        return names.etcd_host(metadata.name, metadata.namespace, index)


def _is_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
