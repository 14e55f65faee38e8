"""A real etcd: the program that clusters are coordinated with, built once from Go modules."""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.kafka.process import LOOPBACK, free_ports
from e2e.rig import binaries, pki
from e2e.rig.process import Daemon, RigFailed, run

START_TIMEOUT_S = 60.0
# Half of etcd's default: members are on one machine, and tests wait for elections.
ELECTION_TIMEOUT_MS = 500


def binary() -> Path:
    """The path of etcd 3.6, built first where the cache has none. Raises BuildFailed."""
    return binaries.binary("etcd")


def client_binary() -> Path:
    """The path of etcdctl of the same version. Raises BuildFailed."""
    return binaries.binary("etcdctl")


class Etcd:
    """One etcd of 1 or 3 members on loopback. As a context manager it is started and stopped.

    folder:    what it keeps, and its logs; data and ports stay over `stop` and `start`
    authority: where given, its clients speak TLS and must show a certificate of this CA
    hosts:     the names that the members' certificate then has
    """

    def __init__(
        self,
        folder: Path,
        *,
        members: int = 1,
        authority: pki.Authority | None = None,
        hosts: Sequence[str] = ("localhost", LOOPBACK),
    ) -> None:
        self.folder = folder
        self._hosts = hosts
        self._scheme = "http" if authority is None else "https"
        ports = free_ports(3 * members)
        self._ports = [ports[3 * n : 3 * n + 3] for n in range(members)]
        self._daemons: dict[int, Daemon] = {}
        self.authority = authority
        if authority is not None:
            self.trust(authority)

    def trust(self, authority: pki.Authority) -> None:
        """Its certificates come from this CA, from the next start on."""
        self.authority = authority
        self._serving = authority.issue("etcd", "etcd", hosts=self._hosts)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """host:port of each member for clients; by name where TLS checks names."""
        host = LOOPBACK if self.authority is None else "localhost"
        return tuple(f"{host}:{client}" for client, _, _ in self._ports)

    def start(self, members: Sequence[int] | None = None) -> None:
        """Starts all members, or these, and returns once each says that it is healthy."""
        chosen = range(len(self._ports)) if members is None else members
        for number in chosen:
            command = [binary(), *self._flags(number)]
            log = self.folder / f"etcd-{number}.log"
            self._daemons[number] = Daemon(f"etcd-{number}", command, log)
        for number in chosen:
            self._daemons[number].wait_until(lambda n=number: self.healthy(n), START_TIMEOUT_S)

    def stop(self, members: Sequence[int] | None = None) -> None:
        """Ends all members, or these; nothing they answered is lost."""
        for number in list(self._daemons) if members is None else members:
            self.resume(number)
            self._daemons.pop(number).stop()

    def pause(self, member: int = 0) -> None:
        """Freezes a member: it neither answers nor closes its connections."""
        self._daemons[member].pause()

    def resume(self, member: int = 0) -> None:
        """Ends a pause."""
        self._daemons[member].resume()

    def healthy(self, member: int = 0) -> bool:
        """Whether it has a leader and takes writes, by its plain metrics address."""
        url = f"http://{LOOPBACK}:{self._ports[member][2]}/health"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(json.load(answer)["health"] == "true")
        except (OSError, ValueError):
            return False

    def control(self, *arguments: str, user: str = "", text: str = "", member: int = 0) -> str:
        """What etcdctl says of one member, given these arguments and this standard input.

        user: name:password, where authentication is on
        """
        words: list[str | Path] = [client_binary(), f"--endpoints={self._url(member)}"]
        if user:
            words.append(f"--user={user}")
        if self.authority is not None:
            words += [f"--cacert={self.authority.pair.certificate}"]
            words += [f"--cert={self._serving.certificate}", f"--key={self._serving.key}"]
        return run([*words, *arguments], text=text)

    def leader(self) -> int:
        """Which member leads."""
        for number, _ in enumerate(self._ports):
            said = self.control("endpoint", "status", "-w=json", member=number)
            status = json.loads(said)[0]["Status"]
            if status["header"]["member_id"] == status["leader"]:
                return number
        raise RigFailed("no member of etcd leads")

    def _url(self, number: int) -> str:
        return f"{self._scheme}://{self.endpoints[number]}"

    def _flags(self, number: int) -> list[str]:
        client, peer, metrics = self._ports[number]
        peers = ",".join(f"m{n}=http://{LOOPBACK}:{p[1]}" for n, p in enumerate(self._ports))
        flags = {
            "name": f"m{number}",
            "data-dir": str(self.folder / f"etcd-{number}"),
            "listen-client-urls": f"{self._scheme}://{LOOPBACK}:{client}",
            "advertise-client-urls": self._url(number),
            "listen-peer-urls": f"http://{LOOPBACK}:{peer}",
            "initial-advertise-peer-urls": f"http://{LOOPBACK}:{peer}",
            "initial-cluster": peers,
            "listen-metrics-urls": f"http://{LOOPBACK}:{metrics}",
            "heartbeat-interval": str(ELECTION_TIMEOUT_MS // 10),
            "election-timeout": str(ELECTION_TIMEOUT_MS),
            "log-level": "warn",
        }
        if self.authority is not None:
            flags |= {
                "cert-file": str(self._serving.certificate),
                "key-file": str(self._serving.key),
                "trusted-ca-file": str(self.authority.pair.certificate),
                "client-cert-auth": "true",
            }
        return [f"--{name}={value}" for name, value in flags.items()]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
