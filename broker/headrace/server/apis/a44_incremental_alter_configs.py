"""IncrementalAlterConfigs v0-v1. Behaviour: SET, DELETE, APPEND and SUBTRACT on topics, brokers
(one, or "" for all; they apply while it runs) and broker loggers; each resource alone.

Skipped: IncrementalAlterConfigs knows no settings of groups and of client metrics.
"""

from typing import TYPE_CHECKING, Any

from headrace.core.overrides import Change
from headrace.core.resources import BROKER_LOGGER
from headrace.server.alter_configs import alter_loggers, alter_resource, refuse_twice
from headrace.server.dispatch import Fields, RequestContext
from headrace.server.outcome import outcome

if TYPE_CHECKING:
    from headrace.server.broker import Broker


async def handle(broker: "Broker", request: Any, context: RequestContext) -> Fields:
    """Apply each resource's operations, or only say whether they could be."""
    twice = refuse_twice(request.resources)
    responses = []
    for resource in request.resources:
        kind, name = resource.resource_type, resource.resource_name
        changes = [Change(c.name, c.value, c.config_operation) for c in resource.configs]
        refusal = twice.get((kind, name))
        if refusal is None and kind == BROKER_LOGGER:
            refusal = alter_loggers(broker, name, changes, request.validate_only)
        elif refusal is None:
            refusal = await alter_resource(
                broker, kind, name, changes, validate_only=request.validate_only
            )
        responses.append({"resource_type": kind, "resource_name": name, **outcome(refusal)})
    return {"responses": responses}
