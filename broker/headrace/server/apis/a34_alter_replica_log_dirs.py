"""AlterReplicaLogDirs v1-v2. Behaviour: a broker has one data folder, so a partition that is asked
to move there is where it should be; any other folder is answered as Kafka answers one that is
not online (KIP-113).
"""

import os.path
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_FOLDER_NAME_MAX = 255
_SUFFIX_CHARACTERS = len("-" + "0" * 32 + "-future") + 1


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """One code a partition."""
    codes: dict[str, dict[int, Code]] = {}
    for folder in request.dirs:
        for topic in folder.topics:
            for index in topic.partitions:
                code = _code(broker, folder.path, topic.name, index)
                codes.setdefault(topic.name, {})[index] = code
    return {
        "results": [
            {
                "topic_name": name,
                "partitions": [
                    {"partition_index": index, "error_code": code}
                    for index, code in partitions.items()
                ],
            }
            for name, partitions in codes.items()
        ]
    }


def _code(broker: "Broker", path: str, topic: str, index: int) -> Code:
    if len(topic) + len(str(index)) + _SUFFIX_CHARACTERS > _FOLDER_NAME_MAX:
        return Code.INVALID_TOPIC_EXCEPTION
    if os.path.normpath(path) != broker.data_dir.path:
        return Code.LOG_DIR_NOT_FOUND
    if broker.partitions.get(topic, index) is not None:
        return Code.NONE
    absent = broker.partitions.why_absent(topic, index)
    if absent is Code.NOT_LEADER_OR_FOLLOWER:
        return Code.REPLICA_NOT_AVAILABLE
    return absent
