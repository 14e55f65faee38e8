"""One partition with its log, flusher and data folder, opened and closed as the broker does it."""

from contextlib import suppress
from uuid import UUID

from headrace.base.image import PartitionState
from headrace.config.topic import LogSettings
from headrace.core.producers import Producers
from headrace.server.flusher import Flusher
from headrace.server.partition import Partition
from headrace.server.traffic import TopicTraffic
from headrace.sim.bugs import Planted
from headrace.sim.disk import SimDisk
from headrace.sim.loop import SimLoop
from headrace.storage.data_dir import DataDir
from headrace.storage.disk import DiskFull
from headrace.storage.log import Log

TOPIC, INDEX = "t", 0
_TOPIC_ID = UUID(int=7)
_DIRECTORY_ID = UUID(int=8)
_KEY = (TOPIC, INDEX)
_NODE = 1
_RECOVERY_BYTES_MAX = 5000
_CHECKPOINT_SOON_S = 0.5


class _Room:
    """Room comes back by itself: a simulated disk is full for one step."""

    full = False

    def no_room(self) -> None:
        """Nothing to give up."""


class Opened:
    """A partition that was opened as the broker opens it; `faults` are what ends the broker."""

    def __init__(
        self,
        disk: SimDisk,
        settings: LogSettings,
        now_ms: int,
        *,
        leader_epoch: int = 0,
        bug: Planted | None = None,
    ) -> None:
        self.loop = SimLoop(now_ms)  # type: ignore[abstract]  # the rest is asked by nobody here
        self.faults: list[str] = []
        self.data_dir = DataDir.open(disk, "/data", node_id=_NODE, new_id=lambda: _DIRECTORY_ID)
        self.data_dir.claim("cluster")
        self.producers = Producers()
        self.flusher = Flusher(
            self.loop,
            recovery_bytes_max=_RECOVERY_BYTES_MAX,
            on_disk_fault=self.faults.append,
            on_checkpoint=self._checkpoint_soon,
        )
        made_now = not disk.exists(f"/data/{TOPIC}-{INDEX}")
        if made_now:  # Its topic is created while the broker runs.
            self._mark_running(bug)
        self.log = Log.open(
            disk,
            self.data_dir.partition_path(TOPIC, INDEX, _TOPIC_ID),
            settings,
            self.producers,
            clean=self.data_dir.was_clean,
            recovery_point=self.data_dir.recovery_point(TOPIC, INDEX),
            log_start_offset=self.data_dir.log_start_offset(TOPIC, INDEX),
            now_ms=now_ms,
        )
        self.partition = Partition(
            topic=TOPIC,
            topic_id=_TOPIC_ID,
            index=INDEX,
            log=self.log,
            producers=self.producers,
            broker_id=_NODE,
            flusher=self.flusher,
            room=_Room(),
            traffic=TopicTraffic(),
        )
        self.lead(leader_epoch)
        if not made_now:
            self._mark_running(bug)

    def _mark_running(self, bug: Planted | None) -> None:
        if bug is not Planted.CLEAN_MARKER_LEFT:
            self.data_dir.mark_running()

    def lead(self, leader_epoch: int) -> None:
        """Lead alone, in that epoch."""
        alone = (_NODE,)
        self.partition.assign(
            PartitionState(replicas=alone, isr=alone, leader=_NODE, leader_epoch=leader_epoch), 1
        )

    def checkpoint(self, recovery_point: int | None = None) -> None:
        """Write the two checkpoint files, as the broker does now and then."""
        point = self.log.recovery_point if recovery_point is None else recovery_point
        self.data_dir.write_checkpoints({_KEY: point}, {_KEY: self.log.log_start_offset})

    def _checkpoint_soon(self) -> None:
        self.loop.call_later(_CHECKPOINT_SOON_S, self._write_checkpoint)

    def _write_checkpoint(self) -> None:
        with suppress(DiskFull):
            self.checkpoint()

    def close(self) -> None:
        """A clean stop: the job in flight is waited for, its callback no longer runs."""
        while self.loop.work():
            pass
        self.flusher.close()
        self.partition.closed()
        flush = self.log.begin_close()
        flush.run()
        self.log.flushed(flush)
        self.log.close()
        self.checkpoint()
        self.data_dir.mark_clean()
        self.data_dir.close()
