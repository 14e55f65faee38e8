"""A real API server with our definitions, and operators of which only the runtime is real."""

import http.client
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from e2e.kafka.process import free_ports
from e2e.rig import api as rig
from e2e.rig.paths import LOGS, ROOT

API = "/apis/headrace.io/v1alpha1"
TOPICS = f"{API}/namespaces/default/topics"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/headrace-operator"
CREATORS = 8
POLL_S = 0.02
START_S = 60.0
"""For what no promise is about: that a process starts on a machine that does much else."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

_names = itertools.count(1)


class CheckFailed(Exception):
    """What was promised did not happen; says what was seen instead."""


def until(what: str, seen: Callable[[], Any], timeout_s: float) -> float:
    """Wait for it; returns the seconds it took. Raises CheckFailed when it is too late."""
    began = time.monotonic()
    while not seen():
        if time.monotonic() - began > timeout_s:
            raise CheckFailed(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)
    return time.monotonic() - began


@dataclass
class Operator:
    """One operator process."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def page(self, path: str) -> tuple[int, str]:
        peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            peer.request("GET", path)
            answer = peer.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            peer.close()

    def metric(self, sample: str) -> float:
        """A sample by its whole name with labels; 0 where the page has none."""
        found = re.search(f"^{re.escape(sample)} (.+)$", self.page("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else 0.0

    @property
    def leads(self) -> bool:
        return self.process.poll() is None and self.metric("headrace_operator_leader") == 1

    @property
    def is_ready(self) -> bool:
        return self.page("/readyz")[0] == 200

    def ready_topics(self) -> int:
        return int(self.metric('headrace_operator_resources{kind="Topic",state="Ready"}'))

    def peak_mb(self) -> float:
        """Peak resident memory since its start."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", text)
        return int(found[1]) / 1024 if found else 0.0

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def exit_code(self, timeout_s: float) -> int:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"operator {self.name} still runs after {timeout_s:g} s") from None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@dataclass
class World:
    """The API server and the operators that were started on it."""

    api: rig.Api
    operators: list[Operator] = field(default_factory=list)

    def operator(
        self,
        *arguments: str,
        kubeconfig: Path | None = None,
    ) -> Operator:
        """Start one of which only the runtime is real; returns at once."""
        return self.launch(
            lambda name, port: [
                "e2e.kubernetes.runtime_operator",
                f"--kubeconfig={kubeconfig or self.api.kubeconfig}",
                f"--name={name}",
                f"--http-port={port}",
                *arguments,
            ]
        )

    def launch(self, words: Callable[[str, int], Sequence[str]]) -> Operator:
        """Start the module and arguments that `words` gives for a name and an HTTP port."""
        name, [port] = f"operator-{next(_names)}", free_ports(1)
        log = LOGS / "runtime" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", *words(name, port)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        made = Operator(name, process, port, log)
        self.operators.append(made)
        return made

    def pair(self) -> tuple[Operator, Operator]:
        """An active operator and a standby, both ready and watching."""
        before = self._watches()
        first = self.operator()
        until("the first operator leads", lambda: first.leads, START_S)
        second = self.operator()
        until("the second operator is ready", lambda: second.is_ready, START_S)
        # Ready is who has listed all; kopf finds out what it may watch beside that.
        until("both watch", lambda: self._watches() >= before + 2, START_S)
        return first, second

    def _watches(self) -> int:
        """How many watches of Topics have begun."""
        return sum(
            entry["verb"] == "watch"
            and entry["stage"] == "ResponseStarted"
            and (entry.get("objectRef") or {}).get("resource") == "topics"
            for entry in self.api.audited()
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request that must succeed."""
        status, answer = self.api.request(method, path, body)
        if status >= 300:
            raise CheckFailed(f"{method} {path}: {status} {answer}")
        return answer

    def create_topics(self, count: int) -> None:
        def create(number: int) -> None:
            self.ask("POST", TOPICS, topic(f"t{number}"))

        with ThreadPoolExecutor(CREATORS) as pool:
            list(pool.map(create, range(count)))

    def change_topic(self, name: str) -> int:
        """A new spec; returns its generation."""
        now = self.ask("GET", f"{TOPICS}/{name}")["spec"]["partitions"]
        changed = self.ask("PATCH", f"{TOPICS}/{name}", {"spec": {"partitions": now + 1}})
        return int(changed["metadata"]["generation"])

    def observed(self, name: str) -> int:
        """The generation that the Topic's status is about."""
        found = self.ask("GET", f"{TOPICS}/{name}")
        return int((found.get("status") or {}).get("observedGeneration", -1))

    def clear(self) -> None:
        """End the operators and empty the API."""
        for operator in self.operators:
            operator.stop()
        self.operators.clear()
        while items := self.ask("GET", f"{TOPICS}?limit=500")["items"]:
            for item in items:
                if item["metadata"].get("finalizers"):
                    path = f"{TOPICS}/{item['metadata']['name']}"
                    self.api.request("PATCH", path, {"metadata": {"finalizers": None}})
            self.ask("DELETE", f"{TOPICS}?limit=500")
        self.api.request("DELETE", LEASE)


def topic(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "headrace.io/v1alpha1",
        "kind": "Topic",
        "metadata": {"name": name, **metadata},
        "spec": {
            "clusterRef": {"name": "c"},
            "partitions": 3,
            "config": {"retention.ms": "600000"},
        },
    }


@contextmanager
def world() -> Iterator[World]:
    """A fresh API server with the committed definitions."""
    with rig.start() as api:
        made = World(api)
        for file in ("clusters", "topics", "quotas"):
            text = (ROOT / "crds" / f"{file}.yaml").read_text()
            for definition in yaml.safe_load_all(text):
                made.ask(
                    "POST",
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                    definition,
                )
        until("the definitions are served", lambda: api.request("GET", TOPICS)[0] == 200, START_S)
        try:
            yield made
        finally:
            for operator in made.operators:
                operator.stop()
