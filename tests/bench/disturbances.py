"""What goes on in a busy broker while its latency is measured; each must prove it did its work."""

import http.client
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from e2e.kafka.headrace import Headrace
from e2e.kafka.jars import ROOT
from tests.bench.arena import Side, Void
from tests.bench.frames import FIRST_PARTITION_FIELD, ProduceFrame
from tests.bench.peer import LOOPBACK, Peer

SCRAPE_EVERY_S = 5.0
METADATA_EVERY_S = 1.0
KEYED_EVERY_S = 0.05
COLD_SPARE_S = 20.0


@dataclass(slots=True)
class Counts:
    """What the disturbances have done so far, over all rounds."""

    scrapes: int = 0
    scrape_bytes: int = 0
    metadata: int = 0
    metadata_bytes: int = 0
    keyed_bytes: int = 0
    cold_bytes: int = 0
    errors: list[str] = field(default_factory=list)


class Disturbances:
    """A context: within it all of them run against `side`; leaving it stops them.

    cold:  topic, end offset and seconds for the cold reader
    keyed: frames for the compacted topic, sent in turn at a fixed pace
    """

    def __init__(
        self, side: Side, counts: Counts, cold: tuple[str, int, float], keyed: list[ProduceFrame]
    ) -> None:
        self.side, self.counts, self.cold, self.keyed = side, counts, cold, keyed
        self._stop = threading.Event()
        loops = (
            (self._scrape, SCRAPE_EVERY_S),
            (self._ask_metadata, METADATA_EVERY_S),
            (self._sender(), KEYED_EVERY_S),
        )
        self._threads = [threading.Thread(target=self._loop, args=loop) for loop in loops]
        self._reader: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        topic, end_offset, seconds = self.cold
        order = {
            "port": self.side.port,
            "topic": topic,
            "folder": str(self.side.broker.data_dir / f"{topic}-0"),
            "end_offset": end_offset,
            "seconds": seconds,
        }
        self._reader = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.cold_reader", json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self._reader is not None
        try:
            out, errors = self._reader.communicate(timeout=COLD_SPARE_S)
        except subprocess.TimeoutExpired:
            self._reader.kill()
            out, errors = self._reader.communicate()
        if self._reader.returncode != 0:
            self.counts.errors.append(f"the cold reader failed: {errors[-300:]}")
        else:
            self.counts.cold_bytes += int(out)
        if self.counts.errors:
            raise Void(f"a disturbance failed, so nothing was measured: {self.counts.errors[0]}")

    def _loop(self, act: Callable[[], None], every_s: float) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            try:
                act()
            except Exception as error:
                self.counts.errors.append(repr(error))
                return
            due += every_s

    def _scrape(self) -> None:
        assert isinstance(self.side.broker, Headrace)
        connection = http.client.HTTPConnection(LOOPBACK, self.side.broker.http_port, timeout=30)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200 or not body:
            raise Void(f"/metrics answered {answer.status} with {len(body)} bytes")
        self.counts.scrapes += 1
        self.counts.scrape_bytes += len(body)

    def _ask_metadata(self) -> None:
        with Peer(self.side.port) as peer:
            self.counts.metadata_bytes += peer.all_topics()
        self.counts.metadata += 1

    def _sender(self) -> Callable[[], None]:
        frames = itertools.cycle(self.keyed)
        connection = socket.create_connection((LOOPBACK, self.side.port), timeout=30)
        stream = connection.makefile("rb")

        def send() -> None:
            frame = next(frames)
            connection.sendall(frame.data)
            values = frame.answer.unpack(stream.read(frame.answer.size))
            if values[FIRST_PARTITION_FIELD + 1]:
                raise Void(f"a keyed batch: error code {values[FIRST_PARTITION_FIELD + 1]}")
            self.counts.keyed_bytes += frame.batch_bytes

        return send
