"""The first stage of the rig: etcd and a kube-apiserver alone, real and on loopback.

Enough for whatever talks to the API and to no pod: CRDs and their CEL rules, admission policies,
the operator's runtime. Up in some seconds:

    with start() as api:
        run([binary("kubectl"), f"--kubeconfig={api.kubeconfig}", "get", "--raw", "/readyz"])
"""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from e2e.kafka.process import free_ports
from e2e.rig import etcd as etcd_program
from e2e.rig import kubeconfig, pki
from e2e.rig.binaries import binary
from e2e.rig.paths import LOGS, RUN
from e2e.rig.process import Daemon

LOOPBACK = "127.0.0.1"
# Services live in half of the benchmark range of RFC 2544, pods in the other (198.18.0.0/16).
SERVICE_RANGE = "198.19.0.0/16"
SERVICE_ADDRESS = "198.19.0.1"
START_TIMEOUT_S = 90.0
REQUEST_TIMEOUT_S = 10.0

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}

_numbers = itertools.count(1)


@dataclass(slots=True)
class Api:
    """A running API server. As a context manager it is stopped at the end.

    address:    what it listens on, `host:port`
    kubeconfig: the administrator's
    audit_log:  one JSON object a request (audit.k8s.io/v1 Event), request bodies left out
    folder:     certificates and etcd's data; removed by `stop`
    """

    address: str
    folder: Path
    logs: Path
    authority: pki.Authority
    admin: pki.Pair
    etcd: Daemon
    server: Daemon
    service_account_key: Path
    kubeconfig: Path = field(init=False)

    def __post_init__(self) -> None:
        self.kubeconfig = self._kubeconfig("admin", self.admin)

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig of a user with this name and these groups, to test RBAC or find in the
        audit log. `system:masters` as a group may do everything."""
        file = name.replace(":", "-")
        return self._kubeconfig(
            file, self.authority.issue(file, name, organizations=groups, hosts=())
        )

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request as the administrator: (HTTP status, the JSON answered, or its text).

        A PATCH is a JSON merge patch (RFC 7386). Raises OSError when the server is not there.
        """
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        with contextlib.closing(self.connect()) as peer:
            text = None if body is None else json.dumps(body)
            peer.request(method, path, body=text, headers={"Content-Type": kind})
            answer = peer.getresponse()
            content = answer.read()
            if "json" in answer.headers.get("Content-Type", ""):
                return answer.status, json.loads(content)
            return answer.status, content.decode(errors="replace")

    def connect(self, timeout_s: float = REQUEST_TIMEOUT_S) -> http.client.HTTPSConnection:
        """A connection of the administrator's own, for many requests or a watch; to be closed."""
        context = ssl.create_default_context(cafile=str(self.authority.pair.certificate))
        context.load_cert_chain(self.admin.certificate, self.admin.key)
        host, _, port = self.address.partition(":")
        return http.client.HTTPSConnection(host, int(port), timeout=timeout_s, context=context)

    def ready(self) -> bool:
        """True once /readyz says ok."""
        try:
            status, _text = self.request("GET", "/readyz")
        except (OSError, http.client.HTTPException):
            return False
        return status == 200

    def audited(self) -> Iterator[dict[str, Any]]:
        """The audit log's entries so far, oldest first."""
        with self.audit_log.open() as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)

    def stop(self) -> None:
        """Ends both processes and removes what they kept; the logs stay."""
        self.server.stop()
        self.etcd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kubeconfig(self, file: str, user: pki.Pair) -> Path:
        return kubeconfig.write(
            self.folder / f"{file}.kubeconfig",
            server=f"https://{self.address}",
            authority=self.authority.pair.certificate,
            user=user,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    *,
    host: str = LOOPBACK,
    port: int | None = None,
    name: str | None = None,
    arguments: Sequence[str] = (),
) -> Api:
    """Builds what is missing, starts etcd and kube-apiserver, and returns once /readyz is ok.

    host:      the address to listen on
    name:      of the folders for state and logs; None makes a new one
    arguments: further flags of kube-apiserver; the last of two with one name wins
    Raises RigFailed with the end of the log that explains it, BuildFailed if Go failed.
    """
    name = name or f"api-{os.getpid()}-{next(_numbers)}"
    folder, logs = RUN / name, LOGS / name
    for each in (folder, logs):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    client_port, peer_port, free_port = free_ports(3)
    address = f"{host}:{port or free_port}"
    authority = pki.Authority(folder / "pki")
    serving = authority.issue("apiserver", "kube-apiserver", hosts=_server_names(host))
    admin = authority.issue("admin", "admin", organizations=["system:masters"])
    private, public = pki.signing_pair(folder / "pki", "service-account")
    etcd = _start_etcd(folder, logs, client_port, peer_port)
    (folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    server = Daemon(
        "kube-apiserver",
        [
            binary("kube-apiserver"),
            f"--etcd-servers=http://{LOOPBACK}:{client_port}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={authority.pair.certificate}",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--authorization-mode=Node,RBAC",
            # How it reaches kubelets, for logs and exec.
            f"--kubelet-client-certificate={admin.certificate}",
            f"--kubelet-client-key={admin.key}",
            f"--kubelet-certificate-authority={authority.pair.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true",
            f"--bind-address={host}",
            f"--secure-port={address.rpartition(':')[2]}",
            f"--audit-policy-file={folder / 'audit-policy.json'}",
            f"--audit-log-path={folder / 'audit.log'}",
            # Loopback cannot be an endpoint of the Service `kubernetes`; the full rig turns it on.
            "--endpoint-reconciler-type=none",
            *arguments,
        ],
        logs / "kube-apiserver.log",
    )
    api = Api(address, folder, logs, authority, admin, etcd, server, private)
    try:
        server.wait_until(api.ready, START_TIMEOUT_S)
    except BaseException:
        api.stop()
        raise
    return api


def _server_names(host: str) -> list[str]:
    names = ["localhost", LOOPBACK, SERVICE_ADDRESS, "kubernetes", "kubernetes.default"]
    service = ["kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    return [*names, *service, *([] if host in names else [host])]


def _start_etcd(folder: Path, logs: Path, client_port: int, peer_port: int) -> Daemon:
    client, peer = f"http://{LOOPBACK}:{client_port}", f"http://{LOOPBACK}:{peer_port}"
    return Daemon(
        "etcd",
        [
            etcd_program.binary(),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # Nobody keeps this data over a crash of the machine.
            "--unsafe-no-fsync",
        ],
        logs / "etcd.log",
    )
