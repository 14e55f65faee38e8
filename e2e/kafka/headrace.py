"""Headrace as a child process, in the same shape as `apache.Kafka`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.kafka.jars import ROOT
from e2e.kafka.process import BrokerFailed, BrokerProcess, free_ports


def executable() -> Path:
    """The `headrace` command beside this Python, or the one of the checkout's `.venv`."""
    for folder in (Path(sys.executable).parent, ROOT / ".venv" / "bin"):
        if (folder / "headrace").exists():
            return folder / "headrace"
    raise BrokerFailed(f"no headrace command in {ROOT / '.venv' / 'bin'}: run `make setup` first")


class Headrace(BrokerProcess):
    """`headrace dev`: `Headrace(data_dir, settings={"num.partitions": "4"})`.

    data_dir:  the folder it keeps everything in; made by the broker if absent
    settings:  broker settings, given with --set
    http_port: where /metrics, /healthz and /readyz are; kept over restarts
    """

    name = "Headrace"

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        kafka_port: int | None = None,
        http_port: int | None = None,
        launcher: Sequence[str] | None = None,
    ) -> None:
        super().__init__(data_dir, kafka_port=kafka_port)
        self.http_port = http_port if http_port is not None else free_ports(1)[0]
        self._settings = dict(settings or {})
        self._launcher = list(launcher) if launcher is not None else None

    def prepare(self) -> None:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        launcher = self._launcher if self._launcher is not None else [str(executable())]
        settings = [
            word for key, value in self._settings.items() for word in ("--set", f"{key}={value}")
        ]
        return [
            *(*launcher, "dev", "--data-dir", str(self.data_dir)),
            *("--kafka-port", str(self.kafka_port), "--http-port", str(self.http_port)),
            *settings,
        ]
