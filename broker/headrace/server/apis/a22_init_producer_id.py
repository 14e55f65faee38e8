"""InitProducerId v0-v5. Behaviour: a producer id that nobody had before, epoch 0, for idempotent
producers. Ids come from blocks taken from the metadata store, so none is given twice after a
crash, and each block is taken ahead, so producers start while the store is away. A producer that
sends its id and epoch back (KIP-360) gets a new id.

Skipped: InitProducerId with a transactional id is answered INVALID_TRANSACTION_TIMEOUT: there are
no transactions yet, so every timeout is above the maximum. Of all codes that are true it is the
one that both the Java client and librdkafka take as fatal; librdkafka tries again for ever on
UNSUPPORTED_VERSION and INVALID_REQUEST.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code, Refusal
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

NO_PRODUCER_ID, NO_EPOCH = -1, -1


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """A fresh producer id."""
    if request.transactional_id is not None:
        code = (
            Code.INVALID_TRANSACTION_TIMEOUT if request.transactional_id else Code.INVALID_REQUEST
        )
        return _refused(code)
    known, epoch = getattr(request, "producer_id", -1), getattr(request, "producer_epoch", -1)
    if (known == NO_PRODUCER_ID) != (epoch == NO_EPOCH):
        return _refused(Code.INVALID_REQUEST)
    producer_id = await broker.controller.next_producer_id()
    broker.spawn(broker.controller.stock_producer_ids())
    if isinstance(producer_id, Refusal):
        return _refused(Code.COORDINATOR_LOAD_IN_PROGRESS)  # Kafka's word for: try again.
    return {"error_code": Code.NONE, "producer_id": producer_id, "producer_epoch": 0}


def _refused(code: Code) -> Fields:
    return {"error_code": code, "producer_id": NO_PRODUCER_ID, "producer_epoch": NO_EPOCH}
