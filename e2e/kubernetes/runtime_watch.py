"""When each Topic became Ready, as a client sees it who watches the API server."""

import contextlib
import json
import socket
import threading
import time
from typing import Any, Self

from e2e.kubernetes.runtime_world import TOPICS
from e2e.rig.api import Api

WATCH_S = 3600


class TopicWatch:
    """A watch of its own on the Topics of namespace default, from when it is made until closed.

    ready: by name, the generation whose Ready was seen and when (time.monotonic)
    """

    def __init__(self, api: Api) -> None:
        self.ready: dict[str, tuple[int, float]] = {}
        status, listed = api.request("GET", f"{TOPICS}?limit=1")
        if status != 200:
            raise OSError(f"Topics cannot be listed: {listed}")
        since = listed["metadata"]["resourceVersion"]
        self._peer = api.connect(timeout_s=WATCH_S)
        query = f"watch=1&timeoutSeconds={WATCH_S}&resourceVersion={since}"
        self._peer.request("GET", f"{TOPICS}?{query}")
        self._answer = self._peer.getresponse()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def ready_at(self, name: str, generation: int) -> float | None:
        """When that generation was seen Ready; None while it was not."""
        seen, at = self.ready.get(name, (-1, 0.0))
        return at if seen >= generation else None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._peer.sock is not None:
                self._peer.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._peer.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := self._answer.readline():
                self._take(json.loads(line)["object"], time.monotonic())

    def _take(self, obj: Any, at: float) -> None:
        metadata, status = obj["metadata"], obj.get("status") or {}
        for condition in status.get("conditions") or []:
            if condition["type"] != "Ready" or condition["status"] != "True":
                continue
            generation = int(condition["observedGeneration"])
            name = metadata["name"]
            if generation == metadata["generation"] and self.ready_at(name, generation) is None:
                self.ready[name] = (generation, at)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
