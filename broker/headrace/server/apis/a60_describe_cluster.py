"""DescribeCluster v0-v2. Behaviour: brokers, controller and cluster id (KIP-700). A broker that
is registered is alive; fenced ones are not kept, so include_fenced_brokers adds none.
"""

from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.core.authorized import CLUSTER_OPERATIONS, NOT_ASKED
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_BROKERS, _CONTROLLERS = 1, 2


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The cluster as clients of this listener reach it."""
    endpoint_type = getattr(request, "endpoint_type", _BROKERS)
    if endpoint_type == _CONTROLLERS:
        return _refused(
            Code.MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of "
            "type CONTROLLER",
        )
    if endpoint_type != _BROKERS:
        return _refused(
            Code.UNSUPPORTED_ENDPOINT_TYPE, f"Unsupported endpoint type {endpoint_type}"
        )
    image = broker.metadata.image
    reachable = [
        (state, endpoint)
        for _, state in sorted(image.brokers.items())
        if (endpoint := state.endpoint(context.listener)) is not None
    ]
    asked = request.include_cluster_authorized_operations
    return {
        "error_code": Code.NONE,
        "error_message": None,
        "endpoint_type": _BROKERS,
        "cluster_id": image.cluster_id,
        "controller_id": image.controller_id,
        "brokers": [
            {
                "broker_id": state.broker_id,
                "host": endpoint.host,
                "port": endpoint.port,
                "rack": state.rack,
                "is_fenced": False,
            }
            for state, endpoint in reachable
        ],
        "cluster_authorized_operations": CLUSTER_OPERATIONS if asked else NOT_ASKED,
    }


def _refused(code: Code, message: str) -> Fields:
    return {"error_code": code, "error_message": message, "cluster_id": "", "brokers": []}
