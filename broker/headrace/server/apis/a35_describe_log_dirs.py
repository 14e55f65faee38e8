"""DescribeLogDirs v1-v5. Behaviour: the data folder with its partitions and their sizes, total
and usable bytes of its file system (KIP-113, KIP-827); null asks for all partitions.
"""

import os
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.partition import Partition

if TYPE_CHECKING:
    from headrace.server.broker import Broker


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """One result: there is one folder."""
    by_topic: dict[str, list[Fields]] = {}
    if request.topics is None:
        held = list(broker.partitions)
    else:
        asked = {(topic.topic, index) for topic in request.topics for index in topic.partitions}
        found = (broker.partitions.get(topic, index) for topic, index in sorted(asked))
        held = [partition for partition in found if partition is not None]
    for partition in held:
        by_topic.setdefault(partition.topic, []).append(_partition(partition))
    room = os.statvfs(broker.data_dir.path)
    return {
        "error_code": Code.NONE,
        "results": [
            {
                "error_code": Code.NONE,
                "log_dir": broker.data_dir.path,
                "topics": [
                    {"name": name, "partitions": partitions}
                    for name, partitions in by_topic.items()
                ],
                "total_bytes": room.f_blocks * room.f_frsize,
                "usable_bytes": room.f_bavail * room.f_frsize,
                "is_cordoned": False,
            }
        ],
    }


def _partition(partition: Partition) -> Fields:
    return {
        "partition_index": partition.index,
        "partition_size": partition.log.size_bytes,
        "offset_lag": max(partition.high_watermark - partition.log.log_end_offset, 0),
        "is_future_key": False,
    }
