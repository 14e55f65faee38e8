"""The two brokers of a benchmark, side by side on one machine, and what lies between rounds."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from e2e.kafka.apache import Kafka
from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import ROOT
from e2e.kafka.process import BrokerProcess
from tests.bench.peer import Peer, Refused

# Both delete files soon, so that a round never runs beside the last one's clean-up, and neither
# waits for more members of a group, which only adds three seconds to each.
SETTINGS = {
    "log.segment.delete.delay.ms": "100",
    "log.initial.task.delay.ms": "100",
    "group.initial.rebalance.delay.ms": "0",
}
CLEARED_S = 60.0
LEAST_FREE_BYTES = 25 << 30


class Void(Exception):
    """A case cannot go on; the sentence is its result."""


class Side:
    """One running broker with the topics a case made on it; `label` for its progress lines."""

    def __init__(self, broker: BrokerProcess, label: str = "") -> None:
        self.broker = broker
        self.label = label or broker.name
        self.topics: list[str] = []

    @property
    def name(self) -> str:
        """For progress and notes."""
        return self.label

    @property
    def is_ours(self) -> bool:
        """True for Headrace."""
        return isinstance(self.broker, Headrace)

    @property
    def port(self) -> int:
        """The broker's Kafka port."""
        return self.broker.kafka_port

    def cpu_s(self) -> float:
        """CPU seconds of the broker so far."""
        return self.broker.usage().cpu_s

    def create(
        self, topic: str, partitions: int = 1, configs: Mapping[str, str] | None = None
    ) -> str:
        """A new topic that `clear` will delete."""
        with Peer(self.port) as peer:
            peer.create_topic(topic, partitions, configs)
        self.topics.append(topic)
        return topic

    def end_offset(self, topic: str) -> int:
        """The end of partition 0."""
        with Peer(self.port) as peer:
            return peer.offsets(topic)[0]

    def clear(self) -> None:
        """Deletes the topics and waits until their folders are gone."""
        gone, self.topics = self.topics, []
        if not gone:
            return
        with Peer(self.port) as peer:
            for topic in gone:
                peer.delete_topic(topic)
        deadline = time.monotonic() + CLEARED_S
        prefixes = tuple(f"{topic}-" for topic in gone)
        while left := [n for n in os.listdir(self.broker.data_dir) if n.startswith(prefixes)]:
            if time.monotonic() > deadline:
                raise Void(f"{self.name} still had {left[0]} {CLEARED_S} s after its deletion")
            time.sleep(0.05)


class Arena:
    """Starts each broker when a case first asks for it, and keeps it warm for the next.

    rounds: pairs a case runs; quick: one pair and no warm-up, for trying a case out
    """

    def __init__(self, *, rounds: int, quick: bool = False) -> None:
        self.rounds, self.quick = rounds, quick
        folder = ROOT / ".cache" / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE_BYTES:
            raise Void(f"{folder} has {free >> 30} GiB free; a run needs {LEAST_FREE_BYTES >> 30}")
        self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
        self._sides: tuple[Side, Side] | None = None
        self._serial = 0

    def __enter__(self) -> "Arena":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_sides()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sides(self) -> tuple[Side, Side]:
        """Kafka and Headrace, running since an earlier case or started now."""
        if self._sides is None:
            kafka = Side(Kafka(self.new_folder("kafka"), settings=SETTINGS))
            ours = Side(Headrace(self.new_folder("headrace"), settings=SETTINGS))
            self._sides = (kafka, ours)
        for side in self._sides:
            if side.broker.process is None:
                side.broker.start()
        return self._sides

    def ours(self, **settings: str) -> Side:
        """A Headrace of a case's own, started; the case stops it."""
        written = {key.replace("_", "."): value for key, value in settings.items()}
        side = Side(Headrace(self.new_folder("headrace"), settings=SETTINGS | written))
        side.broker.start()
        return side

    def stop_sides(self) -> None:
        """Ends both brokers and removes their data; the next case starts fresh ones."""
        for side in self._sides or ():
            side.broker.kill()
            shutil.rmtree(side.broker.data_dir, ignore_errors=True)
        self._sides = None

    def outputs(self) -> list[str]:
        """The end of what each broker of this run has printed, to explain a failure."""
        return [
            f"{path.parent.name} printed at the end:\n{path.read_text(errors='replace')[-1500:]}"
            for path in self.folder.glob("*/*.out")
            if path.stat().st_size
        ]

    def clear(self) -> None:
        """Before each round: no data of an earlier one on disk, in the cache or half written."""
        for side in self._sides or ():
            side.clear()
        os.sync()

    def new_folder(self, name: str) -> Path:
        """A path that no one has used, on the disk under test."""
        self._serial += 1
        return self.folder / f"{name}-{self._serial}" / "data"

    def fresh_name(self, prefix: str) -> str:
        """A topic or group name that no round has used."""
        self._serial += 1
        return f"{prefix}-{self._serial}"


def say(text: str) -> None:
    """One line of progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def wait_for(what: str, holds: Callable[[], bool], timeout_s: float) -> float:
    """Polls until `holds`; returns the seconds it took. Raises Void with `what` when late."""
    started = time.perf_counter()
    while True:
        try:
            if holds():
                return time.perf_counter() - started
        except (OSError, Refused):
            pass  # not there yet: that is what is waited for
        if time.perf_counter() - started > timeout_s:
            raise Void(f"not within {timeout_s} s: {what}")
        time.sleep(0.002)
