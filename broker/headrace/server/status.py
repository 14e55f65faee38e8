"""Who this broker is and how far it is, for /status: what the operator takes a broker's word for.

It answers from the first moment on, so that a broker that waits for its metadata can be told
from one that is not there. What is not known yet is -1, "" or null.
"""

import os
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

from headrace.base.version import VERSION
from headrace.server.metadata import Metadata
from headrace.server.partitions import Partitions

CONFIG_HASH: Final = "HEADRACE_CONFIG_HASH"
"""In the environment: whoever renders a broker's settings can tell by it which of them run."""


@dataclass(slots=True, kw_only=True)
class Status:
    """Mutable: a broker that starts puts in what it gets to know."""

    broker_id: int
    incarnation: UUID = field(default_factory=uuid4)
    config_hash: str = field(default_factory=lambda: os.environ.get(CONFIG_HASH, ""))
    cluster_id: str = ""
    metadata: Metadata | None = None
    partitions: Partitions | None = None

    def describe(self, *, ready: bool) -> dict[str, Any]:
        """The fields of /status; `partitions` is how many this broker leads."""
        metadata = self.metadata
        led = sum(1 for partition in self.partitions or () if partition.replica.is_leader)
        return {
            "broker_id": self.broker_id,
            "cluster_id": self.cluster_id,
            "broker_epoch": -1 if metadata is None else metadata.epoch,
            "incarnation": str(self.incarnation),
            "config_hash": self.config_hash,
            "version": VERSION,
            "ready": ready,
            "metadata_age_seconds": None if metadata is None else round(metadata.age_seconds(), 3),
            "partitions": led,
        }
