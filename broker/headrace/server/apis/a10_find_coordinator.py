"""FindCoordinator v0-v6. Behaviour: type 0 (groups) by the leader of the group's partition of
__consumer_offsets, which is created on the first request. Type 1 (transactions) gets
TRANSACTIONAL_ID_AUTHORIZATION_FAILED and type 2 (share groups) INVALID_REQUEST.

Skipped: FindCoordinator answers the request that creates __consumer_offsets once it is created;
Kafka answers it with COORDINATOR_NOT_AVAILABLE.
Skipped: FindCoordinator of type 1 or 2 is refused: transactions and share groups are not served.
Transactions with TRANSACTIONAL_ID_AUTHORIZATION_FAILED and a message that says so, because it is
final for every client; librdkafka asks again for ever on INVALID_REQUEST.
"""

from typing import TYPE_CHECKING, Any, Final

from headrace.base.errors import Code
from headrace.base.image import Endpoint
from headrace.core.coordinator import partition_of
from headrace.server.apis.named_once import named_once
from headrace.server.dispatch import Fields, RequestContext
from headrace.wire.offsets_topic import fits

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_GROUP: Final = 0
_TRANSACTION: Final = 1
_NOT_SERVED: Final = {1: "transactions", 2: "share groups"}
_BATCHED_FROM: Final = 4
_NOWHERE: Final = Endpoint(listener="", host="", port=-1)

Found = tuple[Code, str, int, Endpoint]


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Where the coordinator of each key is."""
    key_type = getattr(request, "key_type", _GROUP)
    if context.api_version >= _BATCHED_FROM:
        return {
            "coordinators": [
                {"key": key, **_fields(await _find(broker, key_type, key, context))}
                async for key in named_once(request.coordinator_keys)
            ]
        }
    found = await _find(broker, key_type, request.key, context)
    # Before v4 Kafka spells out that there is no error.
    return {**_fields(found), "error_message": found[1] or "NONE"}


async def _find(broker: "Broker", key_type: int, key: str, context: RequestContext) -> Found:
    if key_type != _GROUP:
        what = _NOT_SERVED.get(key_type, f"coordinators of type {key_type}")
        message = f"This broker does not serve {what}."
        code = Code.INVALID_REQUEST
        if key_type == _TRANSACTION:
            code = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        return code, message, -1, _NOWHERE
    if not fits(key):
        return Code.INVALID_GROUP_ID, "The group's id is too long.", -1, _NOWHERE
    unavailable = (Code.COORDINATOR_NOT_AVAILABLE, "The coordinator is not available.")
    if await broker.groups.ensure_topic() is not None:
        return *unavailable, -1, _NOWHERE
    image = broker.metadata.image
    topic = image.topics.get(broker.groups.topic)
    if topic is None:
        return *unavailable, -1, _NOWHERE
    leader = image.brokers.get(topic.partitions[partition_of(key, len(topic.partitions))].leader)
    endpoint = None if leader is None else leader.endpoint(context.listener)
    if leader is None or endpoint is None:
        return *unavailable, -1, _NOWHERE
    return Code.NONE, "", leader.broker_id, endpoint


def _fields(found: Found) -> Fields:
    code, message, node_id, endpoint = found
    return {
        "error_code": code,
        "error_message": message,
        "node_id": node_id,
        "host": endpoint.host,
        "port": endpoint.port,
    }
