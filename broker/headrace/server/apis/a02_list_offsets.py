"""ListOffsets v1-v11. Behaviour: latest (by isolation level), earliest, max timestamp (KIP-734),
by timestamp, earliest local (KIP-405); the leader epoch of the record is answered (KIP-320).

Skipped: ListOffsets answers a partition that is named twice twice; Kafka once.
Skipped: ListOffsets -5 (latest tiered) and -6 (earliest pending upload) answer offset -1: no
topic is tiered yet.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.partition import Partition
from headrace.storage.disk import Damaged, DiskFault, NoDescriptor

if TYPE_CHECKING:
    from headrace.server.broker import Broker

LATEST, EARLIEST, MAX_TIMESTAMP = -1, -2, -3
EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING_UPLOAD = -4, -5, -6
_FIRST_VERSION = {
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING_UPLOAD: 11,
}
_DEBUGGING_REPLICA = -2
_READ_COMMITTED = 1
_UNKNOWN = (-1, -1, -1)


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Offsets by timestamp for each partition asked."""
    version = context.api_version
    committed = getattr(request, "isolation_level", 0) == _READ_COMMITTED
    seen: dict[tuple[str, int], int] = {}
    for topic in request.topics:
        for item in topic.partitions:
            place = (topic.name, item.partition_index)
            seen[place] = seen.get(place, 0) + 1

    def answer(topic: str, item: Any) -> Fields:
        index, stamp = item.partition_index, int(item.timestamp)
        if seen[topic, index] > 1:
            return _item(index, Code.INVALID_REQUEST)
        if stamp < 0 and version < _FIRST_VERSION.get(stamp, 1 if stamp >= EARLIEST else 99):
            return _item(index, Code.UNSUPPORTED_VERSION)
        partition = broker.partitions.get(topic, index)
        if partition is None:
            return _item(index, broker.partitions.why_absent(topic, index))
        refused = partition.replica.check_epoch(getattr(item, "current_leader_epoch", -1))
        leads = partition.replica.is_leader or request.replica_id == _DEBUGGING_REPLICA
        if refused is None and not leads:
            refused = Code.NOT_LEADER_OR_FOLLOWER
        if refused is None and partition.failure is not None:
            refused = Code.KAFKA_STORAGE_ERROR
        if refused is not None:
            return _item(index, refused)
        try:
            return _item(index, Code.NONE, _look_up(partition, stamp, committed))
        except Damaged:
            return _item(index, Code.CORRUPT_MESSAGE)
        except NoDescriptor:
            return _item(index, Code.KAFKA_STORAGE_ERROR)
        except DiskFault as fault:
            return _item(index, partition.fail(str(fault)).code)

    return {
        "topics": [
            {
                "name": topic.name,
                "partitions": [answer(topic.name, item) for item in topic.partitions],
            }
            for topic in request.topics
        ]
    }


def _look_up(partition: Partition, stamp: int, committed: bool) -> tuple[int, int, int]:
    """(offset, timestamp, leader epoch), -1 where there is none."""
    log = partition.log
    limit = partition.last_stable_offset if committed else partition.high_watermark
    if stamp == LATEST:
        return limit, -1, partition.leader_epoch
    if stamp in (EARLIEST, EARLIEST_LOCAL):
        offset = log.log_start_offset if stamp == EARLIEST else log.local_log_start_offset
        return offset, -1, log.epochs.epoch_at(offset)
    if stamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return _UNKNOWN
    found = (
        log.max_timestamp_offset() if stamp == MAX_TIMESTAMP else log.offset_for_timestamp(stamp)
    )
    if found is None or (found.offset >= limit and stamp != MAX_TIMESTAMP):
        return _UNKNOWN
    return found.offset, found.timestamp, found.leader_epoch


def _item(index: int, code: Code, found: tuple[int, int, int] = _UNKNOWN) -> Fields:
    offset, timestamp, leader_epoch = found
    return {
        "partition_index": index,
        "error_code": code,
        "timestamp": timestamp,
        "offset": offset,
        "leader_epoch": leader_epoch,
    }
