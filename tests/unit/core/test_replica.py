"""The high watermark: what it follows, what it never does."""

from headrace.base.errors import Code
from headrace.base.image import PartitionState
from headrace.core.replica import Replica


def leader(*, durable: bool = False, isr: tuple[int, ...] = (1,), end: int = 0) -> Replica:
    replica = Replica(1, log_end_offset=end, high_watermark=end, counts_durable=durable)
    replica.assign(PartitionState(replicas=isr, isr=isr, leader=1, leader_epoch=5))
    replica.check()
    return replica


def test_alone_in_the_isr_every_append_is_committed() -> None:
    replica = leader()
    assert replica.appended(10)
    assert replica.high_watermark == 10


def test_with_durable_counting_only_flushed_offsets_are_committed() -> None:
    replica = leader(durable=True)
    assert not replica.appended(10)
    assert replica.high_watermark == 0
    assert replica.flushed(4)
    assert replica.high_watermark == 4
    assert not replica.flushed(3), "an older flush that finishes late moves nothing back"
    assert replica.high_watermark == 4


def test_an_absent_follower_holds_the_watermark() -> None:
    replica = leader(isr=(1, 2))
    assert not replica.appended(10)
    assert replica.high_watermark == 0


def test_leaving_durability_ack_counts_what_is_written() -> None:
    replica = leader(durable=True)
    replica.appended(10)
    assert replica.count_durable(False)
    assert replica.high_watermark == 10


def test_an_older_leader_epoch_is_ignored() -> None:
    replica = leader()
    replica.assign(PartitionState(replicas=(1,), isr=(1,), leader=2, leader_epoch=4))
    assert replica.is_leader


def test_acks_all_needs_min_insync_replicas() -> None:
    replica = leader(isr=(1, 2))
    replica.min_insync_replicas = 2
    assert replica.refuses(-1) is None
    replica.assign(
        PartitionState(replicas=(1, 2), isr=(1,), leader=1, leader_epoch=5, partition_epoch=1)
    )
    assert replica.refuses(-1) == Code.NOT_ENOUGH_REPLICAS
    assert replica.refuses(1) is None


def test_min_insync_is_capped_by_the_replicas_there_are() -> None:
    replica = leader()
    replica.min_insync_replicas = 3
    assert replica.refuses(-1) is None


def test_not_the_leader_refuses_everything() -> None:
    replica = leader()
    replica.assign(PartitionState(replicas=(1, 2), isr=(1, 2), leader=2, leader_epoch=6))
    assert replica.refuses(1) == Code.NOT_LEADER_OR_FOLLOWER


def test_epoch_checks_of_kip_320() -> None:
    replica = leader()
    assert replica.check_epoch(-1) is None
    assert replica.check_epoch(5) is None
    assert replica.check_epoch(4) == Code.FENCED_LEADER_EPOCH
    assert replica.check_epoch(6) == Code.UNKNOWN_LEADER_EPOCH
