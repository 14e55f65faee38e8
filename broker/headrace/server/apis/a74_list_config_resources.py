"""ListConfigResources v0-v1. Behaviour: v0 lists client metrics subscriptions (KIP-1000), of
which there are none; v1 any of the types topic, broker, broker logger, client metrics and group,
all of them for an empty list (KIP-1142).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from headrace.base.errors import Code
from headrace.core.resources import BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC
from headrace.server.dispatch import Fields, RequestContext

if TYPE_CHECKING:
    from headrace.server.broker import Broker

_ALL = (TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP)


def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """The names of the resources of each type."""
    kinds = [CLIENT_METRICS]
    if context.api_version >= 1:
        kinds = list(dict.fromkeys(request.resource_types)) or list(_ALL)
    if any(kind not in _ALL for kind in kinds):
        return {"error_code": Code.UNSUPPORTED_VERSION, "config_resources": []}
    return {
        "error_code": Code.NONE,
        "config_resources": [
            {"resource_name": name, "resource_type": kind}
            for kind in kinds
            for name in _names(broker, kind)
        ],
    }


def _names(broker: "Broker", kind: int) -> Iterable[str]:
    image = broker.metadata.image
    if kind == TOPIC:
        return sorted(image.topics)
    if kind in (BROKER, BROKER_LOGGER):
        return [str(broker_id) for broker_id in sorted(image.brokers)]
    return ()
