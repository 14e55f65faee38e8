"""Envelope v0. Behaviour: between brokers alone: the controller carries out an admin request that
another broker was sent, for the caller that the envelope names (KIP-590). Served on the control
listener, or where none is configured on all, to who has a broker's token; else the request closes
its connection, or gets CLUSTER_AUTHORIZATION_FAILED.

Skipped: Envelope carries the caller as JSON with its sender's token, not as Kafka's principal.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.forwarded_answers import nothing_was_done
from headrace.wire import messages
from headrace.wire.framing import read_header
from headrace.wire.versions import APIS

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, _context: RequestContext) -> Fields:
    """The answer to the request inside, or why there is none. Raises ProtocolError."""
    caller = broker.forwarding.caller(request)
    if caller is None:
        return _refused(Code.CLUSTER_AUTHORIZATION_FAILED)
    image = broker.metadata.image
    if image.controller_id != broker.node_id:
        return _refused(Code.NOT_CONTROLLER)
    header = read_header(request.request_data)
    key, version = header.api_key, header.api_version
    handle_inner = broker.forwarding.handlers.get(key)
    if handle_inner is None or not APIS[key].serves(version):
        return _refused(Code.UNSUPPORTED_VERSION)
    inner = messages.read_request(key, version, request.request_data, header.body)
    context = RequestContext(
        api_version=version,
        client_id=header.client_id,
        listener=caller.listener,
        peer_host=caller.host,
        principal=caller.principal,
        forwarded=True,
    )
    fields = await handle_inner(broker, inner, context)
    if nothing_was_done(fields):
        return _refused(Code.NOT_CONTROLLER)
    answer = messages.write_response(key, version, header.correlation_id, fields)
    return {"error_code": Code.NONE, "response_data": answer[4:]}


def _refused(code: Code) -> Fields:
    return {"error_code": code, "response_data": None}
